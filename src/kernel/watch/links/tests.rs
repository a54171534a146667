use super::super::Flow;
use super::super::flow::testing::notes;
use super::*;
use crate::kernel::netlink::testing::{attribute, message};

const UP: u32 = 1;
const CARRIER: u32 = 0x1_0000;

/// A message about an interface of this number, name, flags and kind.
fn link(message_kind: u16, index: u32, name: &str, flags: u32, kind: &str) -> Vec<u8> {
    let mut body = vec![0, 0, 1, 0];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend([0; 4]);
    body.extend(attribute(3, &[name.as_bytes(), b"\0"].concat()));
    body.extend(attribute(13, &[0, 0, 0, 0]));
    if !kind.is_empty() {
        body.extend(attribute(18, &attribute(1, &[kind.as_bytes(), b"\0"].concat())));
    }
    message(message_kind, 0, &body)
}

/// A message about an address.
fn address(kind: u16, index: u32, text: &str, flags: u32, scope: u8) -> Vec<u8> {
    let (family, bytes) = match text.parse::<std::net::IpAddr>().unwrap() {
        std::net::IpAddr::V4(it) => (libc::AF_INET, it.octets().to_vec()),
        std::net::IpAddr::V6(it) => (libc::AF_INET6, it.octets().to_vec()),
    };
    let mut body = vec![family as u8, 24, flags as u8, scope];
    body.extend(index.to_ne_bytes());
    body.extend(attribute(1, &bytes));
    body.extend(attribute(8, &flags.to_ne_bytes()));
    message(kind, 2, &body)
}

fn done() -> Vec<u8> {
    message(netlink::DONE, 2, &[0; 4])
}

/// What a datagram reports, and what is asked for next.
fn take(known: &mut Known, datagram: &[u8]) -> (Vec<String>, Listing) {
    let mut next = Listing::Nothing;
    let seen = notes(&mut Flow::default(), 0, |out| next = known.take(datagram, out));
    (seen, next)
}

fn seen(known: &mut Known, datagram: &[u8]) -> Vec<String> {
    take(known, datagram).0
}

/// A machine with `eth0`, which has a carrier, and one address.
fn started() -> Known {
    let mut known = Known::new(Path::new("/nowhere"));
    known.begin(Listing::Links);
    let list = [link(NEW_LINK, 1, "lo", UP | 8, ""), link(NEW_LINK, 2, "eth0", UP | CARRIER, "")].concat();
    assert_eq!(take(&mut known, &list), (vec![], Listing::Nothing));
    assert_eq!(take(&mut known, &done()), (vec![], Listing::Addresses));
    known.begin(Listing::Addresses);
    assert_eq!(take(&mut known, &address(NEW_ADDRESS, 2, "192.168.1.5", 0x80, 0)), (vec![], Listing::Nothing));
    assert_eq!(take(&mut known, &done()), (vec![], Listing::Nothing));
    known
}

#[test]
fn a_cable_is_unplugged_once_however_often_the_kernel_says_so() {
    let known = &mut started();
    let without = link(NEW_LINK, 2, "eth0", UP, "");
    let gone = seen(known, &[without.clone(), without.clone(), without].concat());
    assert_eq!(gone, ["link warning: eth0 lost its link | eth0"]);
    let with = link(NEW_LINK, 2, "eth0", UP | CARRIER, "");
    assert_eq!(seen(known, &[with.clone(), with].concat()), ["link info: eth0 has a link | eth0"]);
}

/// rtnetlink and nl80211 report a loss of Wi-Fi in either order, since each has a socket of its own. The latter has the reason.
#[test]
fn a_loss_of_wifi_is_one_event() {
    let sys = std::env::temp_dir().join(format!("pi-monitor-wifi-link-{}", std::process::id()));
    std::fs::create_dir_all(sys.join("class/net/wlan0/phy80211")).unwrap();
    let with = link(NEW_LINK, 3, "wlan0", UP | CARRIER, "");
    let without = link(NEW_LINK, 3, "wlan0", UP, "");
    let eth0 = link(NEW_LINK, 2, "eth0", UP, "");
    // What happens in each second: (d)isconnected and (c)onnected of nl80211, (l)ost and (h)as a link, (e)th0 lost its link, and
    // nothing but a tick.
    for (seconds, expected) in [
        (&["dl", "", "", ""][..], &["wifi: wlan0"][..]),
        (&["ld", "", "", ""], &["wifi: wlan0"]),
        (&["l", "d", "", "", ""], &["wifi: wlan0"]),
        (&["d", "l", "", "", "", ""], &["wifi: wlan0"]),
        (&["ld", "", "", "", "", "hc", "", "", ""], &["wifi: wlan0", "wifi: wlan0"]),
        // An access point of one's own, of which nl80211 says nothing.
        (&["l", "", "", "", ""], &["link: wlan0 lost its link"]),
        (&["l", "", "", "", "h", "", "", ""], &["link: wlan0 lost its link", "link: wlan0 has a link"]),
        // A cable has no reason to wait for, whatever Wi-Fi does.
        (&["de", "", "", ""], &["wifi: wlan0", "link: eth0 lost its link"]),
    ] {
        let known = &mut started();
        known.sys.clone_from(&sys);
        take(known, &with);
        let (mut flow, mut seen) = (Flow::default(), Vec::new());
        for (second, happens) in seconds.iter().enumerate() {
            seen.extend(notes(&mut flow, 100 + second as u64, |out| {
                for what in happens.chars() {
                    match what {
                        'd' | 'c' => {
                            out.note(&kinds::WIFI, Severity::Info, format_args!("wlan0"), format_args!(""), "wlan0")
                        }
                        'l' => {
                            known.take(&without, out);
                        }
                        'h' => {
                            known.take(&with, out);
                        }
                        _ => {
                            known.take(&eth0, out);
                        }
                    }
                }
                known.tick(out);
            }));
        }
        let brief = |line: &String| line.split(" | ").next().unwrap().replace(" info", "").replace(" warning", "");
        assert_eq!(seen.iter().map(brief).collect::<Vec<_>>(), expected, "{seconds:?}");
    }
    std::fs::remove_dir_all(&sys).unwrap();
}

#[test]
fn interfaces_come_go_and_are_switched() {
    let known = &mut started();
    assert_eq!(seen(known, &link(NEW_LINK, 3, "wg0", 0, "wireguard")), ["link info: wg0 appeared | wg0"]);
    // What has a carrier while it is down is up to the driver.
    assert_eq!(seen(known, &link(NEW_LINK, 3, "wg0", CARRIER, "wireguard")), [""; 0]);
    assert_eq!(
        seen(known, &link(NEW_LINK, 3, "wg0", UP | CARRIER, "wireguard")),
        ["link info: wg0 was switched on | wg0"]
    );
    assert_eq!(seen(known, &link(NEW_LINK, 3, "wg0", 0, "wireguard")), ["link info: wg0 was switched off | wg0"]);
    assert_eq!(seen(known, &link(DELETED_LINK, 3, "wg0", 0, "wireguard")), ["link info: wg0 disappeared | wg0"]);
    assert_eq!(seen(known, &link(DELETED_LINK, 3, "wg0", 0, "wireguard")), [""; 0]);
    // A bridge loses a port, which is an interface as before: the message's family is AF_BRIDGE.
    let mut port = link(DELETED_LINK, 2, "eth0", UP | CARRIER, "");
    port[16] = 7;
    assert_eq!(seen(known, &port), [""; 0]);
    // A signal strength, say: nothing that is known has changed.
    assert_eq!(seen(known, &link(NEW_LINK, 2, "eth0", UP | CARRIER | 0x40, "")), [""; 0]);
}

/// Each container has a pair of veth, whose one end stays here.
#[test]
fn containers_come_and_go_without_a_word() {
    let known = &mut started();
    for number in 0..200 {
        let name = format!("veth{number}");
        let (new, gone) = (link(NEW_LINK, 9, &name, UP | CARRIER, "veth"), link(DELETED_LINK, 9, &name, 0, "veth"));
        let address = address(NEW_ADDRESS, 9, "10.0.0.1", 0x80, 0);
        assert_eq!(seen(known, &[new, address, link(NEW_LINK, 9, &name, UP, "veth"), gone].concat()), [""; 0]);
    }
    // In a container, its own end was there from the beginning.
    let known = &mut Known::new(Path::new("/nowhere"));
    known.begin(Listing::Links);
    take(known, &[link(NEW_LINK, 2, "eth0", UP | CARRIER, "veth"), done()].concat());
    known.begin(Listing::Addresses);
    take(known, &done());
    assert_eq!(seen(known, &link(NEW_LINK, 2, "eth0", UP, "veth")), ["link warning: eth0 lost its link | eth0"]);
}

#[test]
fn addresses_come_and_go_but_for_those_of_a_link_and_for_temporary_ones() {
    let known = &mut started();
    let second = address(NEW_ADDRESS, 2, "192.168.1.6", 0x80 | 1, 0);
    assert_eq!(seen(known, &second), ["address info: eth0 got the address 192.168.1.6/24 | eth0"]);
    assert_eq!(seen(known, &second), [""; 0]);
    let gone = address(DELETED_ADDRESS, 2, "192.168.1.5", 0x80, 0);
    assert_eq!(seen(known, &gone), ["address info: eth0 lost the address 192.168.1.5/24 | eth0"]);
    assert_eq!(seen(known, &gone), [""; 0]);
    assert_eq!(seen(known, &address(NEW_ADDRESS, 2, "fe80::1", 0x80, 253)), [""; 0]);
    assert_eq!(seen(known, &address(NEW_ADDRESS, 2, "2001:db8::7", 1, 0)), [""; 0]);
    // Not in use before the kernel has looked for others that have it.
    assert_eq!(seen(known, &address(NEW_ADDRESS, 2, "2001:db8::8", 0x40, 0)), [""; 0]);
    assert_eq!(
        seen(known, &address(NEW_ADDRESS, 2, "2001:db8::8", 0, 0)),
        ["address info: eth0 got the address 2001:db8::8/24 | eth0"]
    );
    assert_eq!(
        seen(known, &address(NEW_ADDRESS, 2, "2001:db8::9", 0x48, 0)),
        ["address warning: eth0 cannot use, because another device has it, the address 2001:db8::9/24 | eth0"]
    );
    assert_eq!(seen(known, &address(NEW_ADDRESS, 1, "127.0.0.2", 0x80, 254)), [""; 0]);
}

#[test]
fn what_was_lost_is_found_by_a_new_list() {
    let known = &mut started();
    assert_eq!(known.lost(), Listing::Links);
    known.begin(Listing::Links);
    // Lost again meanwhile: once more, after this one.
    assert_eq!(known.lost(), Listing::Nothing);
    assert_eq!(take(known, &done()), (vec![], Listing::Links));
    known.begin(Listing::Links);
    let list = [link(NEW_LINK, 5, "eth1", UP, ""), done()].concat();
    let (changes, next) = take(known, &list);
    assert_eq!(changes, ["link info: eth1 appeared | eth1", "link info: eth0 disappeared | eth0"]);
    assert_eq!(next, Listing::Addresses);
    known.begin(next);
    assert_eq!(take(known, &[address(NEW_ADDRESS, 5, "10.0.0.9", 0x80, 0), done()].concat()).0.len(), 1);
    assert_eq!(known.addresses.len(), 1);
}

#[test]
fn a_list_that_changed_meanwhile_is_asked_for_again() {
    let known = &mut started();
    known.begin(Listing::Links);
    let mut cut = link(NEW_LINK, 2, "eth0", UP | CARRIER, "");
    cut[6] = 0x12;
    assert_eq!(take(known, &[cut, done()].concat()), (vec![], Listing::Links));
}

#[test]
fn more_than_is_watched_is_left_out() {
    let known = &mut started();
    let mut count = 0;
    for number in 10..200 {
        count += seen(known, &link(NEW_LINK, number, &format!("tun{number}"), 0, "tun")).len();
        count += seen(known, &link(DELETED_LINK, 900 + number, "other", 0, "tun")).len();
    }
    assert_eq!((count, known.links.borrow().capacity()), (LINKS_MAX - 1, LINKS_MAX));
    let names = "x".repeat(40);
    assert_eq!(seen(known, &link(NEW_LINK, 2, &names, 0, "")), [""; 0]);
}

/// The list of this machine's kernel.
#[test]
fn the_kernel_lists_what_there_is() {
    let mut links = open(Path::new("/sys")).unwrap();
    let mut buffer = [0; 8192];
    let seen = notes(&mut Flow::default(), 0, |out| assert_eq!(links.read(&mut buffer, out), Next::Wait));
    assert!(links.known.started && links.known.listing == Listing::Nothing, "{seen:?}");
}
