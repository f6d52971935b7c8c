//! The parts of the service that a process runs: `--roles web,smtp`.

use std::str::FromStr;

/// A part that can be scaled apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Pages and REST.
    Web,
    /// The WebSocket.
    Realtime,
    /// Mail from other servers and from people's programs.
    Smtp,
    Imap,
    Pop3,
    /// Deliveries, indexing, cleaning up.
    Worker,
}

const NAMES: [(&str, Role); 6] = [
    ("web", Role::Web),
    ("realtime", Role::Realtime),
    ("smtp", Role::Smtp),
    ("imap", Role::Imap),
    ("pop3", Role::Pop3),
    ("worker", Role::Worker),
];

/// Which parts a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }
}

impl Default for Roles {
    /// Every one.
    fn default() -> Self {
        Self(NAMES.into_iter().map(|(_, role)| role).collect())
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = |name: &str| {
            let found = NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, role)| role);
            found.ok_or_else(|| {
                format!("there is no role `{name}`; there are {}", NAMES.map(|(name, _)| name).join(", "))
            })
        };
        text.split(',').map(|name| role(name.trim())).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_named_and_unknown_ones_refused() {
        let roles: Roles = "web, worker".parse().unwrap();
        assert!(roles.has(Role::Web) && roles.has(Role::Worker) && !roles.has(Role::Smtp));
        let error = "web,smpt".parse::<Roles>().unwrap_err();
        assert_eq!(error, "there is no role `smpt`; there are web, realtime, smtp, imap, pop3, worker");
    }
}
