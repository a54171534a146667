//! Netlink sockets, on which the kernel reports what happens.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Opens a netlink socket that never waits and receives what is sent to `groups`, as bits.
///
/// # Errors
/// What `socket(2)` or `bind(2)` says.
pub fn netlink(protocol: libc::c_int, groups: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call returns a new descriptor, which nobody else owns, or -1.
    let socket = unsafe {
        match libc::socket(libc::AF_NETLINK, kind, protocol) {
            -1 => return Err(io::Error::last_os_error()),
            socket => OwnedFd::from_raw_fd(socket),
        }
    };
    // SAFETY: all-zero is a valid address: a port of the kernel's choice, no group.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as _;
    address.nl_groups = groups;
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel reads an address of the length that is given.
    match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets a netlink socket receive what is sent to one more group, by its number.
///
/// # Errors
/// What `setsockopt(2)` says.
pub fn join(socket: &OwnedFd, group: u32) -> io::Result<()> {
    let (value, length) = ((&raw const group).cast(), size_of_val(&group) as libc::socklen_t);
    // SAFETY: the kernel reads one number.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, value, length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one datagram of the kernel from a netlink socket; its length, 0 if somebody else sent it. Does not wait.
///
/// # Errors
/// What `recvfrom(2)` says: `WouldBlock` if there is none, `ENOBUFS` once after some were lost.
pub fn receive_from_kernel(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: all-zero is a valid address, and the kernel writes no more than is said to fit into it and into `buffer`.
    let (received, port) = unsafe {
        let mut address: libc::sockaddr_nl = std::mem::zeroed();
        let mut length = size_of_val(&address) as libc::socklen_t;
        let (into, room, from) = (buffer.as_mut_ptr().cast(), buffer.len(), (&raw mut address).cast());
        (libc::recvfrom(socket.as_raw_fd(), into, room, 0, from, &raw mut length), address.nl_pid)
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok(if port == 0 { received } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process may send to a netlink socket of the same user protocol; only the kernel is believed.
    #[test]
    fn messages_of_others_are_dropped() {
        let (ours, theirs) = (netlink(libc::NETLINK_USERSOCK, 0).unwrap(), netlink(libc::NETLINK_USERSOCK, 0).unwrap());
        let mut buffer = [0; 64];
        let waiting = receive_from_kernel(&ours, &mut buffer).unwrap_err();
        assert_eq!(waiting.kind(), io::ErrorKind::WouldBlock);
        // SAFETY: the kernel fills and reads addresses of the length given.
        unsafe {
            let mut address: libc::sockaddr_nl = std::mem::zeroed();
            let mut length = size_of_val(&address) as libc::socklen_t;
            libc::getsockname(ours.as_raw_fd(), (&raw mut address).cast(), &raw mut length);
            let sent =
                libc::sendto(theirs.as_raw_fd(), b"forged".as_ptr().cast(), 6, 0, (&raw const address).cast(), length);
            assert_eq!(sent, 6);
        }
        assert_eq!(receive_from_kernel(&ours, &mut buffer).unwrap(), 0);
    }
}
