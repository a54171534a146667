//! `pi-monitor notify --test`: sends a message to each receiver, and says what came of it.

use super::write;
use crate::cli::{Bare, Command, Entry, Options, prose};
use crate::format::alert::{self, Form, Told};
use crate::history::events::record::Lists;
use crate::model::{Event, Lane, Severity, Unit, Value, kinds};
use crate::outbound::plan::{Kind, Plan};
use crate::outbound::{self, courier::deliver};
use crate::sys;
use std::io::Write;
use std::process::ExitCode;

pub static COMMAND: Command = Command {
    name: "notify",
    argument: "",
    help: prose("with --test and the flags of receivers: send each of them a message, and say what came of it"),
    flags: &[Entry::Bare(&TEST)],
    failure: 1,
    run,
};

pub static TEST: Bare = Bare { name: "test", help: prose("Send a message now that is marked as a test.") };

fn run(options: &Options) -> Result<ExitCode, String> {
    if !options.has(&TEST) {
        return Err(
            "expected --test, such as pi-monitor notify --test --notify.ntfy=http://ntfy.local/alerts".to_owned()
        );
    }
    let plan = Plan::read(options)?;
    if plan.routes.iter().all(|route| matches!(route.kind, Kind::RemoteWrite | Kind::Mqtt)) {
        return Err("expected the flag of a receiver, such as --notify.ntfy=http://ntfy.local/alerts".to_owned());
    }
    outbound::prepare(&plan)?;
    let sender = plan.sender();
    let event = Event {
        id: 0,
        kind: &kinds::AGENT,
        lane: Lane::Changes,
        severity: Severity::Warning,
        times: 1,
        rule: "",
        begin: sender.now,
        end: Some(sender.now),
        exact: true,
        title: "This is a test",
        detail: "Messages of Pi-Monitor arrive here",
        culprit: "",
        worst: Value::ABSENT,
        unit: Unit::Count,
    };
    let told = [Told { event, lists: Lists::NONE, again: false }];
    let mut programs = plan.programs.iter();
    let mut out = Vec::new();
    let mut failed = false;
    for route in &plan.routes {
        let (form, runner) = match route.kind {
            Kind::Alert(form) => (form, None),
            Kind::Exec => (Form::Document, programs.next().and_then(|program| sys::fork_runner(program).ok())),
            Kind::Heartbeat => (Form::Document, None),
            Kind::RemoteWrite | Kind::Mqtt => continue,
        };
        let mut body = Vec::new();
        if route.kind != Kind::Heartbeat {
            alert::write(form, &sender, &route.topic, &told, &mut body);
        }
        let _ = match deliver(route, runner.as_ref(), &body).0 {
            Ok(()) => writeln!(out, "{}: sent", route.name),
            Err((wrong, _)) => {
                failed = true;
                writeln!(out, "{}: {wrong}", route.name)
            }
        };
    }
    write(&out)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
