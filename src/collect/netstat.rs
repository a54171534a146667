//! `/proc/net/snmp`, `/proc/net/netstat` and `/proc/net/snmp6`: what TCP, UDP and IP count.
//! <https://docs.kernel.org/networking/snmp_counter.html>
//!
//! Those of the network namespace that the agent runs in.

use super::Registration;
use super::counters::{Layout, Plan};
use crate::model::{Family, More, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

const DIRECTIONS: [&str; 2] = ["receive", "transmit"];

pub static TCP: Table<0, 17> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_tcp_connections", "Established TCP connections.", Unit::Count),
        Family::counter(
            "pi_tcp_opens_total",
            "TCP connections opened by this machine (active) or accepted (passive).",
            Unit::Count,
        )
        .more(&More::NONE.by("side", &["active", "passive"])),
        Family::counter(
            "pi_tcp_segments_total",
            "TCP segments received, and sent without retransmissions.",
            Unit::Count,
        )
        .more(&More::NONE.by("direction", &DIRECTIONS)),
        Family::counter("pi_tcp_retransmits_total", "TCP segments sent again because no answer came.", Unit::Count),
        Family::counter(
            "pi_tcp_listen_drops_total",
            "New TCP connections dropped, for a full queue of the program that listens or any other reason.",
            Unit::Count,
        ),
        Family::counter(
            "pi_tcp_listen_overflows_total",
            "New TCP connections dropped because the queue of the program that listens was full.",
            Unit::Count,
        ),
        Family::counter(
            "pi_tcp_events_total",
            "What else TCP counts: timeouts, resets, errors, SYN cookies.",
            Unit::Count,
        )
        .more(&More::NONE.by(
            "event",
            &[
                "receive_error",
                "reset_sent",
                "timeout",
                "syn_retransmit",
                "out_of_order",
                "receive_queue_drop",
                "syn_cookie_sent",
                "syn_cookie_received",
                "syn_cookie_failed",
            ],
        )),
    ],
);

pub static IP: Table<1, 8> = Table::new(
    Place::List("ip"),
    &["version"],
    &[
        Family::counter("pi_ip_bytes_total", "Bytes of IP packets, headers included.", Unit::Bytes)
            .more(&More::NONE.by("direction", &DIRECTIONS)),
        Family::counter("pi_udp_datagrams_total", "UDP datagrams delivered and sent.", Unit::Count)
            .more(&More::NONE.by("direction", &DIRECTIONS)),
        Family::counter(
            "pi_udp_errors_total",
            "UDP datagrams lost: no program on the port, a full buffer, or any receive error (full buffers included).",
            Unit::Count,
        )
        .more(&More::NONE.by("reason", &["no_port", "receive", "receive_buffer", "send_buffer"])),
    ],
);

static PLAN: Plan = Plan {
    // A line without a number for each name makes absent what begins like its heading, so the shorter heading comes first.
    files: &[("net/snmp", Layout::Columns), ("net/netstat", Layout::Columns), ("net/snmp6", Layout::Pairs)],
    names: "TcpCurrEstab TcpActiveOpens TcpPassiveOpens TcpInSegs TcpOutSegs TcpRetransSegs TcpExtListenDrops \
            TcpExtListenOverflows TcpInErrs TcpOutRsts TcpExtTCPTimeouts TcpExtTCPSynRetrans TcpExtTCPOFOQueue \
            TcpExtTCPRcvQDrop TcpExtSyncookiesSent TcpExtSyncookiesRecv TcpExtSyncookiesFailed IpExtInOctets \
            IpExtOutOctets UdpInDatagrams UdpOutDatagrams UdpNoPorts UdpInErrors UdpRcvbufErrors UdpSndbufErrors \
            Ip6InOctets Ip6OutOctets Udp6InDatagrams Udp6OutDatagrams Udp6NoPorts Udp6InErrors Udp6RcvbufErrors \
            Udp6SndbufErrors",
    rows: &[(TCP.head(), &[]), (IP.head(), &[b"4"]), (IP.head(), &[b"6"])],
    ..Plan::NONE
};

pub static COLLECTOR: Registration = Registration {
    name: "netstat",
    summary: prose("connections, retransmissions, drops and errors of TCP, UDP and IP"),
    source: reference("/proc/net/snmp, /proc/net/netstat, /proc/net/snmp6"),
    needs: Needs::reading("proc/net/snmp proc/net/netstat proc/net/snmp6"),
    tables: &[TCP.head(), IP.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    PLAN.fuzz(text);
}
