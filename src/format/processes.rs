//! The busiest processes as JSON, for `/processes`.

use super::object::{List, Object, write_string};
use crate::model::{ProcessRow, ProcessScan, Value};

/// Appends `scan` with the rows that `each` hands to its argument.
pub fn write(scan: &ProcessScan, each: impl FnOnce(&mut dyn FnMut(&ProcessRow<'_>)), out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    scan.time.write(object.key("time"));
    scan.interval.write(object.key("interval_seconds"));
    scan.cost.write(object.key("scan_seconds"));
    Value::from(scan.cpus).write(object.key("cpus"));
    Value::from(scan.total).write(object.key("total"));
    if scan.ended.is_present() {
        scan.ended.write(object.key("ended_cpu_percent"));
    }
    let mut list = List::open(object.key("processes"));
    each(&mut |row| write_row(row, list.item()));
    list.close();
    object.close();
    out.push(b'\n');
}

fn write_row(row: &ProcessRow<'_>, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    Value::from(row.pid).write(object.key("pid"));
    write_string(row.name, object.key("name"));
    if let Some(user) = row.user {
        write_string(user, object.key("user"));
    }
    write_string(row.state, object.key("state"));
    Value::from(row.threads).write(object.key("threads"));
    row.cpu_percent.write(object.key("cpu_percent"));
    Value::from(row.resident_bytes).write(object.key("resident_bytes"));
    if let Some([read, written]) = row.disk {
        Value::from(read).write(object.key("read_bytes_per_second"));
        Value::from(written).write(object.key("write_bytes_per_second"));
    }
    if let Some(command) = row.command {
        write_string(command, object.key("command"));
    }
    object.close();
}
