//! What a token may be used for (RFC 6749 §3.3).

use std::fmt;

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Scope {
    /// Reading products, where reading is not open to everybody.
    ProductsRead = 1,
    /// Creating, changing and deleting products.
    ProductsWrite = 1 << 1,
    /// Handing in imports and asking after them.
    Imports = 1 << 2,
    /// Following the change feed.
    ChangesRead = 1 << 3,
    /// Looking at upstream sources and commanding them.
    SourcesManage = 1 << 4,
    /// Looking at webhook events and replaying them.
    WebhooksManage = 1 << 5,
    /// Creating, changing and revoking clients.
    ClientsManage = 1 << 6,
    /// Looking after the server.
    Operate = 1 << 7,
}

impl Scope {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 8] = [
        Self::ProductsRead,
        Self::ProductsWrite,
        Self::Imports,
        Self::ChangesRead,
        Self::SourcesManage,
        Self::WebhooksManage,
        Self::ClientsManage,
        Self::Operate,
    ];

    /// Its name in tokens and requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProductsRead => "products:read",
            Self::ProductsWrite => "products:write",
            Self::Imports => "imports",
            Self::ChangesRead => "changes:read",
            Self::SourcesManage => "sources:manage",
            Self::WebhooksManage => "webhooks:manage",
            Self::ClientsManage => "clients:manage",
            Self::Operate => "operate",
        }
    }

    /// What it is good for, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::ProductsRead => "read products, where that is not open to everybody, and export them",
            Self::ProductsWrite => "create, change and delete products",
            Self::Imports => "hand in imports and ask after them",
            Self::ChangesRead => "follow the change feed",
            Self::SourcesManage => "look at upstream sources and command them",
            Self::WebhooksManage => "look at webhook events and replay them",
            Self::ClientsManage => "create, change and revoke clients",
            Self::Operate => "look after the server",
        }
    }

    /// The scope of a name; names are compared with case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// None.
    pub const NONE: Self = Self(0);

    /// All there are.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether this right is among them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope as u16 != 0
    }

    /// Whether all of `other` are among them.
    pub fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order in which they are written.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// Those known ones among the names in a token's `scope`: what another issuer's scopes mean beyond them is not Haat's.
    pub fn known_in(text: &str) -> Self {
        text.split(' ').filter_map(Scope::of_name).collect()
    }

    /// The scopes of a request's `scope` parameter.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn parse(text: &str) -> Result<Self, UnknownScope> {
        text.split(' ')
            .map(|name| Scope::of_name(name).ok_or_else(|| UnknownScope(name.to_owned())))
            .collect::<Result<_, _>>()
    }
}

/// Not the name of a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a scope: there are {all}", all = Scopes::all())]
pub struct UnknownScope(pub String);

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope as u16))
    }
}

impl fmt::Display for Scopes {
    /// As in tokens: names with a space in between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.iter().enumerate() {
            f.write_str(if i > 0 { " " } else { "" })?;
            f.write_str(scope.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl serde::Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::name))
    }
}

impl<'de> serde::Deserialize<'de> for Scopes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let scope = |name: String| Scope::of_name(&name).ok_or_else(|| serde::de::Error::custom(UnknownScope(name)));
        names.into_iter().map(scope).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_its_name_and_its_bit() {
        for scope in Scope::ALL {
            assert_eq!(Scope::of_name(scope.name()), Some(scope));
            assert_eq!(Scopes::from_iter([scope]).iter().collect::<Vec<_>>(), [scope]);
        }
        assert_eq!(Scopes::all().iter().count(), Scope::ALL.len());
    }

    #[test]
    fn a_request_names_known_scopes_with_single_spaces() {
        let both = Scopes::from_iter([Scope::Imports, Scope::ProductsWrite]);
        assert_eq!(Scopes::parse("imports products:write imports").unwrap(), both);
        assert_eq!(both.to_string(), "products:write imports");
        for wrong in ["", " imports", "imports ", "imports  operate", "Imports", "products:*", "imports\toperate"] {
            assert!(Scopes::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn of_a_foreign_token_only_the_known_ones_count() {
        assert_eq!(Scopes::known_in("openid imports email"), Scopes::from_iter([Scope::Imports]));
    }
}
