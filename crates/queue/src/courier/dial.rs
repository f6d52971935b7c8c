//! Connecting to a host that has several addresses: one a moment after the other, and the first that answers is taken
//! (RFC 8305). So a host whose IPv6 does not work costs a quarter of a second, not half a minute.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::source_for;
use crate::{Reply, Target};

/// RFC 8305 §5.
const HEAD_START: Duration = Duration::from_millis(250);

/// A connection, and what was learned on the way to it.
pub(super) struct Dialled {
    pub(super) stream: TcpStream,
    /// The target that it goes to.
    pub(super) at: usize,
    /// Those that could not be connected to.
    pub(super) failed: Vec<usize>,
}

/// Connects to one of the targets, which are addresses of one host.
pub(super) async fn dial(
    targets: &[Target],
    sources: &[std::net::IpAddr],
    within: Duration,
) -> Result<Dialled, Reply> {
    let host = targets.first().map(|target| target.host.clone()).unwrap_or_default();
    let mut waiting = in_turns(targets).into_iter();
    let mut dialling = FuturesUnordered::new();
    let (mut failure, mut failed) = (None, Vec::new());
    loop {
        if let Some((at, address)) = waiting.next() {
            dialling.push(async move { (at, connect(address, sources, within).await) });
        } else if dialling.is_empty() {
            let what = failure.unwrap_or_else(|| "has no address".to_owned());
            return Err(Reply::ours("4.4.1", &format!("{host} {what}")));
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some((at, connected)) = dialling.next() => match connected {
                Ok(stream) => return Ok(Dialled { stream, at, failed }),
                // The next one need not wait any longer.
                Err(what) => {
                    failed.push(at);
                    failure = failure.or(Some(what));
                }
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

/// The families in turns, beginning with the first target's (§4); each in its order.
fn in_turns(targets: &[Target]) -> Vec<(usize, SocketAddr)> {
    let first_is_v4 = targets.first().is_some_and(|target| target.address.is_ipv4());
    let addresses = targets.iter().map(|target| target.address).enumerate();
    let (one, other): (Vec<_>, Vec<_>) = addresses.partition(|(_, address)| address.is_ipv4() == first_is_v4);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(targets.len());
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

/// A connection, or why there is none, in words that follow the host's name.
async fn connect(
    address: SocketAddr,
    sources: &[std::net::IpAddr],
    within: Duration,
) -> Result<TcpStream, String> {
    let connecting = async {
        let Some(source) = source_for(sources, address) else {
            return TcpStream::connect(address).await;
        };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(address).await
    };
    let stream = match timeout(within, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("could not be connected to: {}", error.kind())),
        Err(_) => return Err("did not answer in time".to_owned()),
    };
    // Commands are short and wait for replies: never hold one back.
    stream.set_nodelay(true).map_err(|_| "closed the connection".to_owned())?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let targets =
            ["[2001:db8::1]:25", "[2001:db8::2]:25", "192.0.2.1:25", "192.0.2.2:25", "192.0.2.3:25"];
        let targets = targets.map(|address| Target::new("mx.test", address.parse().unwrap()));
        let order: Vec<_> = in_turns(&targets).into_iter().map(|(at, _)| at).collect();
        assert_eq!(order, [0, 2, 1, 3, 4]);
        assert!(in_turns(&[]).is_empty());
    }
}
