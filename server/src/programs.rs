//! The listeners for people's mail programs: IMAP and POP3.

use std::{num::NonZeroU32, sync::Arc};

use endpoints::{
    imap,
    net::{Server, Socket},
    pop3,
    smtp::Budget,
};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::{
    config::{Config, Door},
    node::{Addresses, bind, count, proxies},
    roles::{Role, Roles},
};

/// Sockets that are bound, and what they are for.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    imap: Vec<(imap::Kind, Door, TcpListener)>,
    pop3: Vec<(pop3::Kind, Door, TcpListener)>,
}

impl Programs {
    pub(crate) async fn bind(
        config: &Config,
        roles: &Roles,
        addresses: &mut Addresses,
    ) -> anyhow::Result<Self> {
        let mut programs = Self::default();
        if roles.has(Role::Imap) {
            for (kind, door, key, listen, address) in [
                (imap::Kind::Imap, Door::Imap, "imap.listen", config.imap.listen, &mut addresses.imap),
                (imap::Kind::Imaps, Door::Imaps, "imaps.listen", config.imaps.listen, &mut addresses.imaps),
            ] {
                let Some(listener) = bind(key, listen).await? else { continue };
                *address = Some(listener.local_addr()?);
                programs.imap.push((kind, door, listener));
            }
        }
        if roles.has(Role::Pop3) {
            for (kind, door, key, listen, address) in [
                (pop3::Kind::Pop3, Door::Pop3, "pop3.listen", config.pop3.listen, &mut addresses.pop3),
                (pop3::Kind::Pop3s, Door::Pop3s, "pop3s.listen", config.pop3s.listen, &mut addresses.pop3s),
            ] {
                let Some(listener) = bind(key, listen).await? else { continue };
                *address = Some(listener.local_addr()?);
                programs.pop3.push((kind, door, listener));
            }
        }
        Ok(programs)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.imap.is_empty() && self.pop3.is_empty()
    }

    pub(crate) fn listen(
        self,
        server: &Server,
        config: &Config,
        mail: &mail::Service,
        certificate: &Arc<ServerConfig>,
        budget: &Arc<Budget>,
    ) -> anyhow::Result<()> {
        let allow_cleartext = config.auth.allow_cleartext;
        let settings = imap::Settings {
            allow_cleartext,
            max_message_bytes: config.limits.message_size.0,
            budget: Arc::clone(budget),
            sessions: Arc::new(imap::Sessions::of_each(count(config.limits.connections_per_account))),
            progress_every: imap::PROGRESS_EVERY,
            message_limit: NonZeroU32::new(config.limits.messages_per_command),
        };
        for (kind, door, listener) in self.imap {
            let socket = Socket { listener, proxies: proxies(config, door) };
            let tls = Some(Arc::clone(certificate));
            imap::listen(server, socket, kind, tls, mail.clone(), &settings)?;
        }
        let sessions = Arc::<pop3::Sessions>::default();
        for (kind, door, listener) in self.pop3 {
            let socket = Socket { listener, proxies: proxies(config, door) };
            let (tls, sessions) = (Some(Arc::clone(certificate)), Arc::clone(&sessions));
            pop3::listen(server, socket, kind, tls, mail.clone(), sessions, allow_cleartext)?;
        }
        Ok(())
    }
}
