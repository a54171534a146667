//! The messages are constructed after `include/uapi/linux/nl80211.h` and the kernel's `net/wireless/nl80211.c`: no radio sent them.

use super::netlink::testing::{attribute, message};
use super::*;

const ASUS: [u8; 6] = [0x8c, 0x3b, 0xad, 0, 1, 0xff];
const OTHER: [u8; 6] = [0x8c, 0x3b, 0xad, 0, 1, 0xfe];

fn word(number: u16, value: u32) -> Vec<u8> {
    attribute(number, &value.to_ne_bytes())
}

fn interface(index: u32, name: &[u8], kind: u32, megahertz: u32) -> Vec<u8> {
    [word(3, index), attribute(4, name), word(1, 0), word(5, kind), word(46, 7), word(38, megahertz)].concat()
}

/// What brcmfmac reports, and where `is_rich` is what mac80211 adds.
fn station(dbm: i8, is_rich: bool) -> Vec<u8> {
    let rate = |number: u16, hundreds: u16| {
        attribute(number | 0x8000, &[word(5, hundreds.into()), attribute(1, &hundreds.to_ne_bytes())].concat())
    };
    let mut all = vec![word(1, 1000), rate(8, 722), word(12, 4), attribute(7, &[dbm.to_ne_bytes()[0]])];
    if is_rich {
        all.extend([rate(14, 0), word(11, 1234), word(18, 0)]);
    }
    [word(3, 3), attribute(6, &ASUS), attribute(21 | 0x8000, &all.concat())].concat()
}

fn found(point: [u8; 6], status: Option<u32>) -> Vec<u8> {
    let mut all = vec![attribute(1, &point), word(2, 2437), attribute(6, b"\0\x04home")];
    all.extend(status.map(|status| word(9, status)));
    [word(46, 7), word(3, 3), attribute(47 | 0x8000, &all.concat())].concat()
}

fn survey(dbm: u8, in_use: bool) -> Vec<u8> {
    let mut all = vec![word(1, 2437), attribute(2, &[dbm])];
    all.extend(in_use.then(|| attribute(3, &[])));
    [word(3, 3), attribute(84 | 0x8000, &all.concat())].concat()
}

/// A question's command, its flags, its interface, and the access point that it asks for.
type Question = (u8, u16, Option<u32>, Option<[u8; 6]>);

fn read(flags: u16, body: &[u8]) -> Question {
    let attributes = &body[HEAD..];
    assert_eq!(body[1..HEAD], [1, 0, 0]);
    (
        body[0],
        flags,
        u32_at(netlink::attribute(attributes, 3), 0),
        netlink::attribute(attributes, 6).first_chunk().copied(),
    )
}

/// A kernel that answers as `answer` does: the attributes of each message, or an error.
fn kernel(answer: impl Fn(Question) -> Result<Vec<Vec<u8>>, i32> + Send + 'static) -> Talk {
    Box::new(move |flags, body, each| {
        let answers = answer(read(flags, body)).map_err(io::Error::from_raw_os_error)?;
        answers.iter().for_each(|attributes| each(attributes));
        Ok(())
    })
}

fn numbers(interface: &Interface) -> Vec<Option<f64>> {
    interface.values.iter().map(|value| value.to_f64()).collect()
}

#[test]
fn a_radio_of_a_pi_says_what_it_knows() {
    let mut talk = kernel(|question| match question {
        (5, ALL, None, None) => Ok(vec![interface(3, b"wlan0\0", 2, 2437), word(1, 0)]),
        (62, 0, Some(3), None) => Ok(vec![word(93, 1)]),
        (50, ALL, Some(3), None) => Err(libc::EBUSY),
        (32, ALL, Some(3), None) => Ok(vec![found(OTHER, None), found(ASUS, Some(1))]),
        (17, 0, Some(3), Some(ASUS)) => Ok(vec![station(-67, false)]),
        other => panic!("{other:?}"),
    });
    let mut known = Vec::new();
    look(&mut talk, &mut known).unwrap();
    assert_eq!((known.len(), known[0].name()), (1, &b"wlan0"[..]));
    let expected =
        [Some(-67.0), None, Some(72_200_000.0), None, None, Some(4.0), None, Some(1.0), Some(2_437_000_000.0)];
    assert_eq!(numbers(&known[0]), expected);
}

#[test]
fn a_radio_that_counts_says_more() {
    let mut talk = kernel(|question| match question.0 {
        // An interface whose channel the driver does not name: the access point's does.
        5 => Ok(vec![interface(3, b"wlan0\0", 2, 0)]),
        62 => Ok(vec![word(93, 0)]),
        50 => Ok(vec![survey(161, true), survey(200, false)]),
        32 => Ok(vec![found(ASUS, Some(1))]),
        _ => Ok(vec![station(-40, true)]),
    });
    let mut known = Vec::new();
    look(&mut talk, &mut known).unwrap();
    let expected = [-40.0, -95.0, 72_200_000.0, f64::NAN, 1234.0, 4.0, 0.0, 0.0, 2_437_000_000.0];
    let numbers = numbers(&known[0]);
    for (column, expected) in expected.iter().enumerate() {
        assert_eq!(numbers[column], Some(*expected).filter(|it| !it.is_nan()), "{column}");
    }
}

#[test]
fn what_was_found_is_searched_only_where_the_access_point_changed() {
    use std::sync::{Arc, Mutex};
    let asked = Arc::new(Mutex::new(Vec::new()));
    let point = Arc::new(Mutex::new(Some(ASUS)));
    let (list, now) = (asked.clone(), point.clone());
    let mut talk = kernel(move |question| {
        list.lock().unwrap().push(question.0);
        let now = *now.lock().unwrap();
        match question {
            (5, ..) => Ok(vec![interface(3, b"wlan0\0", 2, 2437)]),
            (32, ..) => Ok(now.map(|now| found(now, Some(1))).into_iter().collect()),
            (17, _, _, asked) if asked.is_some() && asked == now => Ok(vec![station(-67, false)]),
            // The firmware's word for an access point that it does not know.
            (17, ..) => Err(libc::EBADE),
            _ => Err(libc::EOPNOTSUPP),
        }
    });
    let mut known = Vec::new();
    let mut round = |to: Option<[u8; 6]>| {
        *point.lock().unwrap() = to;
        look(&mut talk, &mut known).unwrap();
        (std::mem::take(&mut *asked.lock().unwrap()), known[0].values[SIGNAL].is_present())
    };
    assert_eq!(round(Some(ASUS)), (vec![5, 62, 32, 17, 50], true));
    assert_eq!(round(Some(ASUS)), (vec![5, 62, 17, 50], true));
    // It roams, and then it is disconnected: a survey would let it leave its channel.
    assert_eq!(round(Some(OTHER)), (vec![5, 62, 17, 32, 17, 50], true));
    assert_eq!(round(None), (vec![5, 62, 17, 32], false));
}

#[test]
fn interfaces_come_go_and_are_renamed() {
    let list = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let theirs = list.clone();
    let mut talk = kernel(move |question| match question.0 {
        5 => Ok(theirs.lock().unwrap().clone()),
        // An access point's many stations are not asked for, and a survey would let it leave its channel.
        17 | 32 | 50 => panic!("{question:?}"),
        _ => Err(libc::EOPNOTSUPP),
    });
    let mut known = Vec::new();
    let mut names = |now: Vec<Vec<u8>>| {
        *list.lock().unwrap() = now;
        look(&mut talk, &mut known).unwrap();
        known.iter().map(|it| String::from_utf8(it.name().to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(vec![interface(3, b"wlan0\0", 3, 2437), interface(4, b"ap0\0", 3, 5180)]), ["wlan0", "ap0"]);
    assert_eq!(names(vec![interface(4, b"a-name-that-is-too-long\0", 3, 5180)]), ["a-name-that-is-t"]);
    assert_eq!(names(vec![]), [""; 0]);
}

#[test]
fn a_firmware_that_fails_is_said_to_and_hides_no_other() {
    let mut talk = kernel(|question| match question {
        (5, ..) => Ok(vec![interface(3, b"wlan0\0", 2, 2437), interface(4, b"wlan1\0", 2, 5180)]),
        (32, ..) => Ok(vec![found(ASUS, Some(1))]),
        (17, _, Some(3), _) => Err(libc::ETIME),
        (17, ..) => Ok(vec![station(-67, true)]),
        _ => Err(libc::EOPNOTSUPP),
    });
    let mut known = Vec::new();
    assert_eq!(look(&mut talk, &mut known).unwrap_err().raw_os_error(), Some(libc::ETIME));
    let signals: Vec<_> = known.iter().map(|interface| interface.values[SIGNAL].is_present()).collect();
    assert_eq!(signals, [false, true]);
    let mut talk = kernel(|_| Err(libc::ENETDOWN));
    assert!(look(&mut talk, &mut known).is_err());
    assert!(known.is_empty());
}

/// A firmware that lets everybody wait is asked no more than it has to.
#[test]
fn a_firmware_that_times_out_is_asked_once() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static STATIONS: AtomicU32 = AtomicU32::new(0);
    let mut talk = kernel(|question| match question.0 {
        5 => Ok(vec![interface(3, b"wlan0\0", 2, 2437)]),
        32 => Ok(vec![found(ASUS, Some(1))]),
        17 if STATIONS.fetch_add(1, Ordering::Relaxed) > 0 => Err(libc::ETIMEDOUT),
        17 => Ok(vec![station(-67, false)]),
        _ => Err(libc::EOPNOTSUPP),
    });
    let mut known = Vec::new();
    look(&mut talk, &mut known).unwrap();
    assert_eq!(look(&mut talk, &mut known).unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
    assert_eq!(STATIONS.load(Ordering::Relaxed), 2);
}

/// Whatever is cut off or odd, nothing panics, and no number comes from nowhere.
#[test]
fn odd_attributes_are_no_values() {
    for full in [station(-67, true), found(ASUS, Some(1)), survey(161, true), interface(3, b"wlan0\0", 2, 2437)] {
        for end in 0..full.len() {
            let mut of = Interface::new(3);
            for (command, ..) in &ATTRIBUTES {
                take(*command, &full[..end], &mut of);
            }
            take_interface(&full[..end], &mut Vec::new());
        }
    }
    let dbm = |bytes: &[u8]| parse_value(bytes, DBM);
    for bad in [&[][..], &[0], &[40], &[0xff, 0xff], &[0xff; 4]] {
        assert_eq!(dbm(bad), Value::ABSENT, "{bad:?}");
    }
    assert_eq!((dbm(&[0xff]), dbm(&[0x80])), (Value::signed(-1, 0), Value::signed(-128, 0)));
    for bad in [&[][..], &[1], &[1; 3], &[1; 5], &[0; 4]] {
        assert_eq!(parse_value(bad, 100_000), Value::ABSENT, "{bad:?}");
    }
    assert_eq!(parse_value(&[0; 4], 1), 0.into());
}

#[test]
fn answers_end_with_done_or_an_error() {
    let end = |kind, error: i32| {
        let datagram = message(kind, 0, &error.to_ne_bytes());
        parse_end(take_message(&mut &datagram[..]).unwrap()).map(|end| end.map_err(|error| error.raw_os_error()))
    };
    assert_eq!(end(netlink::DONE, 0), Some(Ok(())));
    assert_eq!(end(ERROR, 0), Some(Ok(())));
    assert_eq!(end(ERROR, -libc::EPERM), Some(Err(Some(libc::EPERM))));
    assert_eq!(end(ERROR, i32::MIN), Some(Err(Some(i32::MIN))));
    assert_eq!(end(33, -1), None);
}

/// An interface's name and values.
type Told = (String, Vec<Option<f64>>);

fn wireless(text: &str) -> (Vec<Told>, Result<(), Bad>) {
    let mut rows = Vec::new();
    let result = parse_wireless(text.as_bytes(), &mut |name, values| {
        rows.push((name.escape_ascii().to_string(), values.iter().map(|value| value.to_f64()).collect()));
    });
    (rows, result)
}

const HEADS: &str = "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
";

#[test]
fn the_old_file_says_little() {
    let text = format!("{HEADS} wlan0: 0000   43.  -67.  -256        0      0      0     87      0        0\n");
    let mut expected = vec![None; VALUES];
    (expected[SIGNAL], expected[FAILURES]) = (Some(-67.0), Some(87.0));
    assert_eq!(wireless(&text), (vec![("wlan0".to_owned(), expected)], Ok(())));
    // Levels that are no dBm, as of drivers that know a share only; and a noise.
    let text = format!("{HEADS} wlan1: 0000   70    40    -92.       0      0      0      0      0        3\n");
    let mut expected = vec![None; VALUES];
    (expected[NOISE], expected[BEACONS_LOST]) = (Some(-92.0), Some(3.0));
    assert_eq!(wireless(&text), (vec![("wlan1".to_owned(), expected)], Ok(())));
    assert_eq!(wireless(HEADS), (vec![], Ok(())));
    assert_eq!(wireless(""), (vec![], Ok(())));
}

#[test]
fn one_bad_line_of_the_old_file_hides_no_other() {
    let good = " wlan0: 0000   43.  -67.  -256        0      0      0     87      0        0";
    for bad in ["wlan1", " wlan1: 0000 43. -67.", " wlan1: 0000 43. x -256 0 0 0 0 0 0", " wlan1: 0 0 0 0 0 0 0 0 0 -"]
    {
        let (rows, result) = wireless(&format!("{HEADS}{bad}\n{good}\n"));
        assert_eq!((rows.len(), result.unwrap_err().line), (1, 3), "{bad}");
    }
}

#[test]
fn the_group_is_found_in_the_familys_description() {
    let group = |place: u16, name: &[u8], number: u32| {
        attribute(place, &[attribute(1, name), attribute(2, &number.to_ne_bytes())].concat())
    };
    let groups = [group(1, b"config\0", 9), group(2, b"scan\0", 10), group(3, b"mlme\0", 12)].concat();
    let body = [
        vec![1, 2, 0, 0],
        attribute(2, b"nl80211\0"),
        attribute(1, &33_u16.to_ne_bytes()),
        attribute(7 | 0x8000, &groups),
    ]
    .concat();
    assert_eq!(parse_family(Message { kind: 16, flags: 0, body: &body }), Some((33, 12)));
    assert_eq!(parse_family(Message { kind: ERROR, flags: 0, body: &body }), None);
    for end in 0..body.len() {
        assert_ne!(parse_family(Message { kind: 16, flags: 0, body: &body[..end] }), Some((33, 12)));
    }
}

/// The kernel's own answers, on a machine with Wi-Fi or without.
#[test]
fn this_machines_radios() {
    assert_eq!(open(Path::new("/elsewhere")).err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    match open(Path::new("/sys")) {
        Ok(mut talk) => {
            let mut known = Vec::new();
            look(&mut talk, &mut known).unwrap();
            assert!(known.iter().all(|interface| !interface.name().is_empty()));
        }
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    }
}

#[test]
fn answers_are_values_or_errors() {
    let body = [&[62, 1, 0, 0][..], &attribute(93, &1_u32.to_ne_bytes()), &attribute(33, b"DE\0")].concat();
    let message = Message { kind: 33, flags: 0, body: &body };
    assert_eq!(first(value(message, 93).unwrap()), 1_u32.to_ne_bytes());
    assert_eq!(&first(value(message, 33).unwrap()), b"DE\0\0");
    assert_eq!(&first(value(message, 7).unwrap()), &[0; 4]);
    let error = Message { kind: ERROR, flags: 0, body: &(-libc::ENODEV).to_ne_bytes() };
    assert_eq!(value(error, 93).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    assert_eq!(value(Message { kind: ERROR, flags: 0, body: &[] }, 93).unwrap_err().raw_os_error(), Some(0));
}

/// The kernel's own answers, on a machine with Wi-Fi or without.
#[test]
fn the_kernel_answers_or_has_no_wifi() {
    match ask(COUNTRY, 0) {
        Ok(country) => assert_eq!(netlink::text(&country).len(), 2),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    }
    let error = ask(POWER_SAVE, u32::MAX).unwrap_err();
    assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT)), "{error}");
}

/// As when somebody unloads the driver of a radio that hangs: the kernel has no such family then.
#[test]
fn without_any_radio_there_is_nothing_and_no_fault() {
    let is_gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let theirs = is_gone.clone();
    let mut talk = kernel(move |question| match question {
        _ if theirs.load(std::sync::atomic::Ordering::Relaxed) => Err(libc::ENOENT),
        (5, ..) => Ok(vec![interface(3, b"wlan0\0", 3, 2437)]),
        (62, ..) => Ok(vec![word(93, 0)]),
        other => panic!("{other:?}"),
    });
    let mut known = Vec::new();
    look(&mut talk, &mut known).unwrap();
    assert_eq!(known.len(), 1);
    is_gone.store(true, std::sync::atomic::Ordering::Relaxed);
    look(&mut talk, &mut known).unwrap();
    assert_eq!(known.len(), 0);
}
