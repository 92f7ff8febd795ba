//! Scopes: the permissions of a token, and the catalogue of existing scopes and presets.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::text::Line;

/// A permission, written `resource:action`, each side one or more of `a-z`, `0-9`, `_` and `-`, at most 64
/// bytes in all. Cheap to clone.
///
/// A scope of this form need not exist: the [`Catalogue`] lists those that do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Scope(Arc<str>);

impl Scope {
    /// The longest scope, in bytes.
    pub const MAXIMUM: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a scope of this file, whose form a test checks.
    fn literal(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the permission over the authority itself; `None` for a scope of another service.
    pub fn management(&self) -> Option<ManagementScope> {
        ManagementScope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == self.as_str())
    }

    /// Returns whether only a deployment token may have it.
    pub fn is_deployment_only(&self) -> bool {
        self.management().is_some_and(ManagementScope::is_deployment_only)
    }
}

/// A permission over the authority itself.
///
/// These are built in: no configuration adds, removes or redefines one, so that policy can match on them
/// without a wildcard. They are granted by name only, never by a preset or a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManagementScope {
    TokensRead,
    TokensWrite,
    TokensIntrospect,
    OrganizationsRead,
    OrganizationsWrite,
    AuditRead,
    RevocationsRead,
    UsageWrite,
}

impl ManagementScope {
    pub const ALL: [Self; 8] = [
        Self::TokensRead,
        Self::TokensWrite,
        Self::TokensIntrospect,
        Self::OrganizationsRead,
        Self::OrganizationsWrite,
        Self::AuditRead,
        Self::RevocationsRead,
        Self::UsageWrite,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokensRead => "tokens:read",
            Self::TokensWrite => "tokens:write",
            Self::TokensIntrospect => "tokens:introspect",
            Self::OrganizationsRead => "organizations:read",
            Self::OrganizationsWrite => "organizations:write",
            Self::AuditRead => "audit:read",
            Self::RevocationsRead => "revocations:read",
            Self::UsageWrite => "usage:write",
        }
    }

    /// Returns its title and its description.
    pub fn label(self) -> Label {
        let (title, description) = match self {
            Self::TokensRead => (
                "Read tokens",
                "List and inspect the tokens that the owner may manage: names, scopes, owners, dates and last use. Never \
                 the secrets.",
            ),
            Self::TokensWrite => (
                "Manage tokens",
                "Create, rename, rotate and revoke the tokens that the owner may manage. A new token has at most the \
                 rights of this one.",
            ),
            Self::TokensIntrospect => (
                "Introspect tokens",
                "Ask whether a token that the owner may manage is active, and what it allows. For services that check \
                 tokens online.",
            ),
            Self::OrganizationsRead => (
                "Read organizations",
                "List organizations with their members, teams, projects and policies.",
            ),
            Self::OrganizationsWrite => (
                "Manage organizations",
                "Change an organization's own data, and create, rename and delete its teams and projects. Members and \
                 policies need a session.",
            ),
            Self::AuditRead => (
                "Read the audit",
                "List, export and follow who changed what, in the organizations that the owner administers.",
            ),
            Self::RevocationsRead => (
                "Follow revocations",
                "Read the revocation feed of all organizations. For services that verify tokens offline.",
            ),
            Self::UsageWrite => (
                "Report use",
                "Report when tokens of any organization were used. For services that verify tokens offline.",
            ),
        };
        Label {
            title: Some(title.into()),
            description: Some(description.into()),
        }
    }

    /// Returns whether only a deployment token may have it, since its data belong to every organization at
    /// once.
    pub const fn is_deployment_only(self) -> bool {
        match self {
            Self::RevocationsRead | Self::UsageWrite => true,
            Self::TokensRead
            | Self::TokensWrite
            | Self::TokensIntrospect
            | Self::OrganizationsRead
            | Self::OrganizationsWrite
            | Self::AuditRead => false,
        }
    }
}

/// How people are shown a scope or a preset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// What it allows, in a few words.
    pub title: Option<Line>,
    /// What it allows, in a sentence or two.
    pub description: Option<Line>,
}

impl Label {
    /// The longest title, in characters.
    pub const LONGEST_TITLE: usize = 100;

    /// The longest description, in characters.
    pub const LONGEST_DESCRIPTION: usize = 500;
}

/// The scopes that exist and the presets that bundle them, each in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    scopes: Vec<Scope>,
    /// How people are shown the scopes; those without a label are missing.
    labels: BTreeMap<Scope, Label>,
    presets: Vec<Preset>,
}

/// A named bundle of scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    name: Arc<str>,
    scopes: Vec<Scope>,
    label: Label,
}

impl Preset {
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns its scopes: at least one, none twice, no management scope.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Returns how people are shown it.
    pub fn label(&self) -> &Label {
        &self.label
    }
}

impl Catalogue {
    /// Returns the catalogue of a deployment that configures none.
    pub fn standard() -> Self {
        let mut catalogue = Self::standard_scopes();
        catalogue.presets.push(Preset {
            name: "content_management".into(),
            scopes: ["projects:read", "content:write"].map(Scope::literal).to_vec(),
            label: Label::default(),
        });
        catalogue
    }

    /// Returns the standard catalogue without its presets.
    pub fn standard_scopes() -> Self {
        let mut catalogue = Self::management();
        let services = ["projects:read", "content:write", "subscription:read", "ai:use"];
        catalogue.scopes.extend(services.map(Scope::literal));
        catalogue
    }

    /// Returns a catalogue of the management scopes alone, to which others are added.
    pub fn management() -> Self {
        Self {
            scopes: ManagementScope::ALL.map(Scope::from).to_vec(),
            labels: ManagementScope::ALL
                .map(|scope| (scope.into(), scope.label()))
                .into(),
            presets: Vec::new(),
        }
    }

    /// Adds a scope of another service.
    pub fn add_scope(&mut self, scope: Scope, label: Label) -> Result<(), CatalogueError> {
        if scope.management().is_some() {
            return Err(CatalogueError::BuiltIn(scope));
        }
        if self.contains(&scope) {
            return Err(CatalogueError::Repeated(scope));
        }
        if label != Label::default() {
            self.labels.insert(scope.clone(), label);
        }
        self.scopes.push(scope);
        Ok(())
    }

    /// Adds a preset of scopes that were added before.
    pub fn add_preset(&mut self, name: &str, scopes: Vec<Scope>, label: Label) -> Result<(), CatalogueError> {
        if name.is_empty() || name.len() > Scope::MAXIMUM || !name.bytes().all(is_name_byte) {
            return Err(CatalogueError::PresetName);
        }
        if scopes.is_empty() {
            return Err(CatalogueError::EmptyPreset);
        }
        for (place, scope) in scopes.iter().enumerate() {
            if scope.management().is_some() {
                return Err(CatalogueError::ManagementInPreset(scope.clone()));
            }
            if !self.contains(scope) {
                return Err(CatalogueError::Unknown(scope.clone()));
            }
            if scopes.iter().take(place).any(|earlier| earlier == scope) {
                return Err(CatalogueError::Repeated(scope.clone()));
            }
        }
        if self.preset(name).is_some() {
            return Err(CatalogueError::RepeatedPreset);
        }
        self.presets.push(Preset {
            name: name.into(),
            scopes,
            label,
        });
        Ok(())
    }

    pub fn contains(&self, scope: &Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Returns all scopes, the management scopes first.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Returns how people are shown a scope.
    pub fn label(&self, scope: &Scope) -> Label {
        self.labels.get(scope).cloned().unwrap_or_default()
    }

    /// Returns how people are shown the scopes that have a label.
    pub fn labels(&self) -> &BTreeMap<Scope, Label> {
        &self.labels
    }

    /// Returns the scopes that a token may get without requesting them by name.
    pub fn grantable_by_default(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter().filter(|scope| scope.management().is_none())
    }

    pub fn presets(&self) -> &[Preset] {
        &self.presets
    }

    pub fn preset(&self, name: &str) -> Option<&Preset> {
        self.presets.iter().find(|preset| &*preset.name == name)
    }
}

/// The reason why a scope or a preset cannot be in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    #[error("must not contain `{0}`, a built-in scope")]
    BuiltIn(Scope),
    #[error("must not contain `{0}` twice")]
    Repeated(Scope),
    #[error("must not contain `{0}`, which is not an available scope")]
    Unknown(Scope),
    #[error("must not contain `{0}`, since management scopes are granted only by name")]
    ManagementInPreset(Scope),
    #[error("must contain at least one scope")]
    EmptyPreset,
    #[error("must have a name of 1 to 64 characters from a-z, 0-9, `_` and `-`")]
    PresetName,
    #[error("must not be defined twice")]
    RepeatedPreset,
}

/// The error for a text that has not the form of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `resource:action`, at most 64 characters from a-z, 0-9, `_` and `-`")]
pub struct NotAScope;

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (resource, action) = text.split_once(':').ok_or(NotAScope)?;
        let sides = [resource, action];
        if text.len() > Self::MAXIMUM
            || sides
                .iter()
                .any(|side| side.is_empty() || !side.bytes().all(is_name_byte))
        {
            return Err(NotAScope);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Scope {
    type Error = NotAScope;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ManagementScope> for Scope {
    fn from(scope: ManagementScope) -> Self {
        Self::literal(scope.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn a_scope_is_a_resource_and_an_action() {
        for text in [
            "projects:read",
            "a:b",
            "x_1-y:use",
            &format!("{}:a", "r".repeat(62)),
        ] {
            assert_eq!(scope(text).to_string(), text);
        }
        for text in [
            "",
            ":",
            "projects",
            "projects:",
            ":read",
            "a:b:c",
            "Projects:read",
            "projects: read",
            "projects:read ",
            "projects:*",
            "prøjects:read",
            "a:b\n",
            &format!("{}:a", "r".repeat(63)),
        ] {
            assert_eq!(text.parse::<Scope>(), Err(NotAScope), "{text:?}");
        }
    }

    #[test]
    fn the_standard_preset_is_exactly_its_two_scopes() {
        let catalogue = Catalogue::standard();
        let preset = catalogue.preset("content_management").unwrap();
        assert_eq!(preset.scopes(), [scope("projects:read"), scope("content:write")]);
        assert_eq!(catalogue.preset("management"), None);
    }

    #[test]
    fn what_is_granted_by_default_holds_no_management_scope() {
        let catalogue = Catalogue::standard();
        let granted: Vec<_> = catalogue.grantable_by_default().map(Scope::as_str).collect();
        assert_eq!(
            granted,
            ["projects:read", "content:write", "subscription:read", "ai:use"]
        );
        for known in catalogue.scopes() {
            assert_eq!(known.as_str().parse().as_ref(), Ok(known));
        }
        for management in ManagementScope::ALL {
            assert!(catalogue.contains(&management.into()));
            assert_eq!(Scope::from(management).management(), Some(management));
            assert_eq!(scope(management.as_str()), management.into());
        }
        assert_eq!(scope("tokens:reads").management(), None);
    }

    #[test]
    fn each_management_scope_has_a_title_and_a_description() {
        let catalogue = Catalogue::standard();
        let mut titles = Vec::new();
        for scope in ManagementScope::ALL {
            let Label { title, description } = catalogue.label(&scope.into());
            let (title, description) = (title.unwrap(), description.unwrap());
            assert!((1..=Label::LONGEST_TITLE).contains(&title.as_ref().chars().count()));
            assert!((1..=Label::LONGEST_DESCRIPTION).contains(&description.as_ref().chars().count()));
            assert!(description.as_ref().ends_with('.'), "{scope:?}");
            assert!(!titles.contains(&title), "{scope:?}");
            titles.push(title);
        }
        assert_eq!(catalogue.label(&scope("projects:read")), Label::default());
    }

    #[test]
    fn only_the_feed_and_use_belong_to_the_deployment() {
        let only: Vec<_> = ManagementScope::ALL
            .into_iter()
            .filter(|scope| scope.is_deployment_only())
            .collect();
        assert_eq!(
            only,
            [ManagementScope::RevocationsRead, ManagementScope::UsageWrite]
        );
    }

    #[test]
    fn a_catalogue_refuses_what_would_make_it_ambiguous() {
        let mut catalogue = Catalogue::management();
        assert_eq!(catalogue.add_scope(scope("a:b"), Label::default()), Ok(()));
        assert_eq!(
            catalogue.add_scope(scope("a:b"), Label::default()),
            Err(CatalogueError::Repeated(scope("a:b")))
        );
        let built_in = scope("tokens:write");
        assert_eq!(
            catalogue.add_scope(built_in.clone(), Label::default()),
            Err(CatalogueError::BuiltIn(built_in.clone()))
        );

        assert_eq!(
            catalogue.add_preset("", vec![scope("a:b")], Label::default()),
            Err(CatalogueError::PresetName)
        );
        assert_eq!(
            catalogue.add_preset("p", vec![], Label::default()),
            Err(CatalogueError::EmptyPreset)
        );
        assert_eq!(
            catalogue.add_preset("p", vec![scope("c:d")], Label::default()),
            Err(CatalogueError::Unknown(scope("c:d")))
        );
        assert_eq!(
            catalogue.add_preset("p", vec![built_in.clone()], Label::default()),
            Err(CatalogueError::ManagementInPreset(built_in))
        );
        assert_eq!(
            catalogue.add_preset("p", vec![scope("a:b"), scope("a:b")], Label::default()),
            Err(CatalogueError::Repeated(scope("a:b")))
        );
        assert_eq!(catalogue.presets(), [], "nothing of a refused preset stays");
        assert_eq!(
            catalogue.add_preset("p", vec![scope("a:b")], Label::default()),
            Ok(())
        );
        assert_eq!(
            catalogue.add_preset("p", vec![scope("a:b")], Label::default()),
            Err(CatalogueError::RepeatedPreset)
        );
    }
}
