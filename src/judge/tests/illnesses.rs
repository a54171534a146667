//! What makes each rule's condition hold.

use super::bench::net_dev;

/// What makes a machine ill: the file, its text at each tick, and whom the rule names. `ill` is false for the text that is
/// just not bad enough.
pub type Illness = (&'static str, &'static str, fn(u64, bool) -> String, &'static str, &'static str);

pub const ILLNESSES: &[Illness] = &[
    (
        "under_voltage",
        "sys/devices/platform/soc/soc:firmware/get_throttled",
        // The upper half tells what was since boot.
        |_, ill| if ill { "1\n" } else { "f0000\n" }.to_owned(),
        "power supply",
        "Supply voltage is below 4.63 V right now",
    ),
    (
        "throttled",
        "sys/devices/platform/soc/soc:firmware/get_throttled",
        |_, ill| if ill { "e0008\n" } else { "e0000\n" }.to_owned(),
        "soft_temperature_limit",
        "The firmware lowers the clock at its soft temperature limit right now",
    ),
    (
        "hot",
        "sys/class/thermal/thermal_zone0/temp",
        |_, ill| if ill { "80000\n" } else { "79900\n" }.to_owned(),
        "cpu-thermal",
        "80.0 °C",
    ),
    (
        "oom_kill",
        "proc/vmstat",
        |tick, ill| {
            format!(
                "nr_free_pages {tick}\npgfault 9\npgmajfault 2\npswpin 0\npswpout 0\noom_kill {}\n",
                if ill { 4 } else { 3 }
            )
        },
        "",
        "A service or container reached its memory limit, with 90.0% of memory available; processes killed since boot: 4",
    ),
    (
        "memory_low",
        "proc/meminfo",
        |_, ill| format!("MemTotal: 1000 kB\nMemAvailable: {} kB\n", if ill { 79 } else { 80 }),
        "",
        "7.9% of 1.0 MiB available",
    ),
    (
        "memory_pressure",
        "proc/pressure/memory",
        |tick, ill| {
            let total = tick * if ill { 202_000 } else { 199_000 };
            format!("some avg10=0 avg60=0 avg300=0 total={total}\nfull avg10=0 avg60=0 avg300=0 total={total}\n")
        },
        "",
        "All processes were stalled on memory 10.1% of the time",
    ),
    (
        "disk_slow",
        "proc/diskstats",
        // 36 operations of 51 ms each in 2 s, of which the disk is busy for 1.81 s or 1.79 s.
        |tick, ill| {
            let busy = tick * if ill { 1810 } else { 1790 };
            format!("   8       0 sda {0} 0 80 {1} {0} 0 80 {1} 0 {busy} {busy}\n", tick * 18, tick * 910)
        },
        "sda",
        "51 ms per operation, busy 90.5% of the time",
    ),
    (
        "cpu_busy",
        "proc/stat",
        |tick, ill| {
            let user = tick * if ill { 1840 } else { 1839 };
            let idle = 1000 + tick * 2000 - user;
            format!("cpu  {user} 0 0 {idle} 0 0 0 0\ncpu0 {user} 0 0 {idle} 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\nbtime 1\n")
        },
        "",
        "92.0% in use",
    ),
    (
        "load_high",
        "proc/loadavg",
        |_, ill| format!("9.00 9.00 {} 1/100 1\n", if ill { "4.00" } else { "3.99" }),
        "",
        "4.0 over 15 minutes on 2 CPUs",
    ),
    // One in a hundred and one in a hundred and one.
    (
        "network_errors",
        "proc/net/dev",
        |tick, ill| net_dev(tick * if ill { 990 } else { 1000 }, tick * 10),
        "eth0",
        "1.0% of its packets are broken, 10 since the last sample",
    ),
    (
        "link_down",
        "sys/class/net/eth0/carrier",
        // An empty file stands for EINVAL: somebody took it down.
        |_, ill| if ill { "0\n" } else { "" }.to_owned(),
        "eth0",
        "It had a link before, and nobody switched it off",
    ),
    (
        "link_flapping",
        "sys/class/net/eth0/carrier_changes",
        |tick, ill| format!("{}\n", if ill { 2 + 2 * tick } else { 2 + tick.min(5) }),
        "eth0",
        "8 changes in 1 min",
    ),
    (
        "disk_read_only",
        "proc/self/mountinfo",
        |_, ill| format!("25 1 8:1 / / rw - ext4 /dev/sda1 {}\n", if ill { "ro" } else { "rw,errors=remount-ro" }),
        "/",
        "Nobody remounted it",
    ),
];
