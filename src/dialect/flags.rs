//! The other program's flags that choose what is reported.

use crate::cli::pattern::{Pattern, check_pattern};
use crate::cli::{Bare, Entry, Flag, Options, Prose, Switch, prose};
use crate::collect;

/// Which names `/metrics` speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// The agent's own.
    Pi,
    /// Those of node_exporter, and the agent's own for what that does not know.
    Node,
    Both,
}

impl Tongue {
    /// Returns the dialect of this name.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        match name {
            "pi" => Ok(Tongue::Pi),
            "node" => Ok(Tongue::Node),
            "both" => Ok(Tongue::Both),
            _ => Err("expected pi, node or both"),
        }
    }
}

/// The dialect of requests that do not say which.
pub static DIALECT: Flag = Flag {
    words: "metrics.dialect DIALECT pi",
    help: prose("Names in /metrics: pi, those of node_exporter (node), or both."),
    check: |value| Tongue::parse(value).map(drop).map_err(str::to_owned),
};

/// Flags of node_exporter that the agent does not have, by their beginnings, and what it has instead.
static ELSEWHERE: Prose = prose(
    "collector.arp.netlink the agent reads files instead|\
     collector.netclass.netlink the agent reads files instead|\
     collector.netdev.netlink the agent reads files instead|\
     collector.cpu.guest guest time is always reported|\
     collector.hwmon.sensor- use --collector.hwmon.chip-exclude|\
     collector.interrupts.include-zeros zeros are always reported|\
     collector.netdev.address-info addresses are not reported|\
     collector.netdev.enable-detailed-metrics names are those without this flag|\
     collector.netdev.label-ifalias the alias is a label of node_network_info|\
     collector.diskstats.ignored-devices use --collector.diskstats.device-exclude|\
     collector.filesystem.ignored-fs-types use --collector.filesystem.fs-types-exclude|\
     collector.filesystem.ignored-mount-points use --collector.filesystem.mount-points-exclude|\
     collector.netdev.device-blacklist use --collector.netdev.device-exclude|\
     collector.netdev.device-whitelist use --collector.netdev.device-include|\
     collector.systemd services are in the agent's own families pi_service_…|\
     collector.filesystem.mount-timeout a filesystem that does not answer is given up by itself|\
     collector.filesystem.stat-workers a filesystem that does not answer holds up nothing|\
     log.format the log is plain text|\
     runtime.gomaxprocs the agent has one thread|\
     web.disable-exporter-metrics use --no-collector.agent|\
     web.max-requests requests share a collection; use --web.connections-per-address|\
     web.systemd-socket use --web.listen-address|\
     web.telemetry-path metrics are at /metrics",
);

/// Collectors of node_exporter that the agent does not have.
static MISSING: Prose = prose(
    "bcache bcachefs bonding btrfs buddyinfo cgroups dmi drbd drm edac ethtool fibrechannel infiniband ipvs ksmd lnstat \
                       logind meminfo_numa mountstats network_route nfs nfsd ntp pcidevice perf qdisc rapl runit selinux slabinfo \
                       supervisord swap sysctl tapestats xfrm xfs zfs zoneinfo",
);

/// Returns what stands in for a flag of node_exporter that the agent does not know; `name` is without the dashes.
pub fn elsewhere(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("no-").unwrap_or(name);
    let collector = name.strip_prefix("collector.").map(|rest| rest.split('.').next().unwrap_or_default());
    if collector.is_some_and(|name| MISSING.text().split(' ').any(|missing| missing == name)) {
        return Some("not among the collectors that docs/do/node-exporter.md lists");
    }
    let mut flags = ELSEWHERE.text().split('|').filter_map(|flag| flag.split_once(' '));
    flags.find(|(start, _)| name.starts_with(start)).map(|(_, instead)| instead)
}

/// A flag with a regular expression.
const fn regex(words: &'static str, help: &'static str) -> Flag {
    Flag { words, help: prose(help), check: check_pattern }
}

/// Where udev keeps what it knows of devices.
pub static UDEV: Flag = Flag {
    words: "path.udev.data DIR /run/udev/data",
    help: prose("Directory of udev's database, for the dialect node."),
    check: |_| Ok(()),
};

/// Leaves out the speed of links that are down.
pub static NO_SPEED: Bare =
    Bare { name: "collector.netclass.ignore-invalid-speed", help: prose("Leave out speeds below zero.") };

/// What `?NAME` in `node.txt` means: what is left out, and what alone is reported.
pub static FILTERS: &[(&str, Option<Flag>, Option<Flag>)] = &[
    (
        "arp",
        Some(regex("collector.arp.device-exclude REGEX ", "Interfaces to exclude, in node_exporter's names.")),
        Some(regex("collector.arp.device-include REGEX ", "Interfaces to report alone.")),
    ),
    ("bug", None, Some(regex("collector.cpu.info.bugs-include REGEX ", "Faults of the CPU to report."))),
    (
        "diskstats",
        Some(regex(
            r"collector.diskstats.device-exclude REGEX ^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$",
            "Disks to exclude.",
        )),
        Some(regex("collector.diskstats.device-include REGEX ", "Disks to report alone.")),
    ),
    ("flag", None, Some(regex("collector.cpu.info.flags-include REGEX ", "Features of the CPU to report."))),
    (
        "fs-types",
        Some(regex("collector.filesystem.fs-types-exclude REGEX ", "Filesystem types to exclude.")),
        Some(regex("collector.filesystem.fs-types-include REGEX ", "Filesystem types to report alone.")),
    ),
    (
        "mount-points",
        Some(regex("collector.filesystem.mount-points-exclude REGEX ", "Mount points to exclude.")),
        Some(regex("collector.filesystem.mount-points-include REGEX ", "Mount points to report alone.")),
    ),
    (
        "hwmon",
        Some(regex("collector.hwmon.chip-exclude REGEX ", "Chips to exclude.")),
        Some(regex("collector.hwmon.chip-include REGEX ", "Chips to report alone.")),
    ),
    (
        "interrupts",
        Some(regex("collector.interrupts.name-exclude REGEX ", "Interrupts to exclude.")),
        Some(regex("collector.interrupts.name-include REGEX ", "Interrupts to report alone.")),
    ),
    ("netclass", Some(regex("collector.netclass.ignored-devices REGEX ^$", "Interfaces to exclude.")), None),
    (
        "netdev",
        Some(regex("collector.netdev.device-exclude REGEX ", "Interfaces to exclude.")),
        Some(regex("collector.netdev.device-include REGEX ", "Interfaces to report alone.")),
    ),
    (
        "netstat",
        None,
        Some(regex(
            "collector.netstat.fields REGEX ^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|\
             Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|\
             PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
            "Numbers of netstat, snmp and snmp6 to report.",
        )),
    ),
    ("power", Some(regex("collector.powersupply.ignored-supplies REGEX ^$", "Power supplies to exclude.")), None),
    (
        "vmstat",
        None,
        Some(regex("collector.vmstat.fields REGEX ^(oom_kill|pgpg|pswp|pg.*fault).*", "Lines of vmstat to report.")),
    ),
];

/// What `!NAME` in `node.txt` means: the block is read only with this flag.
pub static BARE: &[(&str, Bare)] = &[
    ("cpu.info", Bare { name: "collector.cpu.info", help: prose("Report what /proc/cpuinfo says.") }),
    ("softirq", Bare { name: "collector.stat.softirq", help: prose("Report deferred interrupt work by its kind.") }),
];

/// The collectors of `node.txt` whose names are not those of the agent's own, with a dash where they are off unless a flag says
/// otherwise; `processes` there is another one.
const COLLECTORS: &str = "diskstats filefd filesystem -interrupts kernel_hung loadavg mdadm meminfo netclass netdev os \
    powersupplyclass -processes.states sockstat -softirqs stat -tcpstat thermal_zone time timex udp_queues uname vmstat";

/// Their switches.
pub fn switches() -> impl Iterator<Item = Switch> {
    const HELP: Prose = prose("node_exporter's collector of this name, in its dialect");
    COLLECTORS.split(' ').map(|word| {
        let (name, on) = unless_dashed(word);
        Switch { group: &collect::GROUP, name, help: HELP, on }
    })
}

/// Takes away a dash in front, which says no.
#[inline(never)]
pub fn unless_dashed(word: &str) -> (&str, bool) {
    word.strip_prefix('-').map_or((word, true), |name| (name, false))
}

/// What was given for the flags of this file.
#[derive(Debug)]
pub struct Settings {
    pub tongue: Tongue,
    values: Vec<(&'static str, String)>,
    bare: Vec<&'static str>,
    /// Collectors that were switched on or off.
    pub switched: Vec<(&'static str, bool)>,
}

impl Settings {
    /// Takes from a checked command line what concerns the dialect.
    pub fn new(options: &Options) -> Self {
        let tongue = Tongue::parse(options.value(&DIALECT)).unwrap_or(Tongue::Pi);
        let mut settings = Settings { tongue, values: Vec::new(), bare: Vec::new(), switched: Vec::new() };
        for entry in entries() {
            match entry {
                Entry::Value(flag) if options.value(flag) != flag.default() => {
                    settings.values.push((flag.name(), options.value(flag).to_owned()));
                }
                Entry::Bare(bare) if options.has(bare) => settings.bare.push(bare.name),
                _ => {}
            }
        }
        let own = collect::ALL.iter().map(|registration| registration.switch());
        for switch in switches().chain(own) {
            let on = collect::is_enabled(options, &switch);
            if on != switch.on {
                settings.switched.push((switch.name, on));
            }
        }
        settings
    }

    /// Returns the value given for `flag`, or its default.
    pub fn value(&self, flag: &'static Flag) -> &str {
        self.values.iter().find(|(name, _)| *name == flag.name()).map_or(flag.default(), |(_, value)| value)
    }

    /// Returns whether a bare flag was given.
    pub fn has(&self, bare: &'static Bare) -> bool {
        self.bare.contains(&bare.name)
    }
}

/// Returns all of these flags, in the order of `--help`.
pub fn entries() -> Vec<Entry> {
    let mut all = vec![Entry::Value(&DIALECT), Entry::Value(&UDEV), Entry::Bare(&NO_SPEED)];
    for (_, exclude, include) in FILTERS {
        for flag in [exclude, include].into_iter().flatten() {
            all.push(Entry::Value(flag));
        }
    }
    for (_, bare) in BARE {
        all.push(Entry::Bare(bare));
    }
    all
}

/// What is reported of the things that a filter is for.
#[derive(Debug)]
pub struct Filter {
    name: &'static str,
    exclude: Pattern,
    include: Pattern,
}

impl Filter {
    /// Returns all filters.
    pub fn all(settings: &Settings) -> Vec<Filter> {
        let pattern = |flag: &'static Option<Flag>| {
            let text = flag.as_ref().map_or("", |flag| settings.value(flag));
            Pattern::new(text).unwrap_or_default()
        };
        let mut all = Vec::new();
        for (name, exclude, include) in FILTERS {
            all.push(Filter { name, exclude: pattern(exclude), include: pattern(include) });
        }
        all
    }

    /// Returns whether `thing` is reported by the filter of this name.
    pub fn allows(all: &[Filter], name: &str, thing: &[u8]) -> bool {
        let Some(filter) = all.iter().find(|filter| filter.name == name) else { return true };
        !filter.exclude.matches(thing) && (filter.include.is_empty() || filter.include.matches(thing))
    }
}
