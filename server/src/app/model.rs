//! What the documents hold: the bodies of projects, environments, flags and segments.
//!
//! A body never repeats its document's key, version or times; [`Stored`](super::Stored) puts them side by side. Reading
//! is tolerant, as a newer server may have written the body; what people send is read strictly (see
//! [`input`](super::input)).

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::{
    FlagKey, Timestamp, VariantKey,
    config::{Availability, FlagKind, Prerequisite, Rule, SegmentRule, Serve, Target},
};
use tidegate_rollout::{Window, window::WindowText};
use utoipa::ToSchema;

/// A project: flags that belong together, and the environments they are served in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// What people call it.
    pub name: String,
    /// Whether only one rollout at a time goes on in the production environments; the others wait for their turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_rollout_at_a_time: bool,
}

/// An environment: where a project's flags are configured and served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// What people call it.
    pub name: String,
    /// Changes here reach customers: the UI asks before each one.
    #[serde(default)]
    pub production: bool,
    /// A color for the UI, like `#d92d20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// When no rollout may raise a share here. Lowering one, and killing a flag, is always possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<WindowText>)]
    pub freezes: Vec<Window>,
}

/// What a flag has in common in all environments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flag {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// For finding it, and for killing all flags with a tag at once; sorted, without repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it is meant to stay, like a kill switch: it is never called ready to clean up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
    /// What kind of value every variant has; never changes.
    pub kind: FlagKind,
    /// At least one; keys are unique.
    pub variants: Vec<FlagVariant>,
    /// What the flag serves where it is off, until an environment says something else; absent: the caller's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_variant: Option<VariantKey>,
    /// What the flag serves where it is on, until an environment says something else.
    pub default_variant: VariantKey,
    /// Random, made with the flag: every environment's first salt comes from it. Never changes.
    pub salt: String,
}

/// A named value of a flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagVariant {
    /// The variant's key.
    pub key: VariantKey,
    /// A value of the flag's kind.
    pub value: Json,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A flag's configuration in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagEnvironment {
    /// A disabled flag serves its off variant to everybody.
    #[serde(default)]
    pub enabled: bool,
    /// The kill state: overrides everything else with the off variant. Absent: not killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// What a disabled or killed flag serves; absent: the caller's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_variant: Option<VariantKey>,
    /// All must hold, else the off variant is served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<Prerequisite>,
    /// Individual targeting keys, before any rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// Tried in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// What is served where no target and no rule matched.
    pub default: Serve,
    /// What client keys may see of the flag.
    #[serde(default, skip_serializing_if = "Availability::is_private")]
    pub availability: Availability,
    /// Decides which bucket a unit falls into; never changes.
    pub salt: String,
    /// The rollout that moves the default; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The rollout that is through, and whose gates kill the flag where they find harm; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
}

/// Who killed a flag, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kill {
    /// Why, in the actor's words; never empty.
    pub reason: String,
    /// The actor's name at that time.
    pub actor_name: String,
    /// When, in milliseconds since the epoch.
    pub at: Timestamp,
}

/// A named set of contexts of one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Targeting keys that are in, whatever the rules say; sorted, without repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<String>,
    /// Targeting keys that are out, before anything else; sorted, without repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// A context is in where one rule holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<SegmentRule>,
}

impl Flag {
    /// The flag's configuration in an environment where nobody has configured it yet: disabled.
    ///
    /// It is a pure function of the flag and the environment's key, so it need not be stored: the bytes on the wire stay
    /// the same until somebody changes something, and a new environment has all flags at once. The first change stores it,
    /// salt included.
    pub fn initial_configuration(&self, environment: &str) -> FlagEnvironment {
        FlagEnvironment {
            enabled: false,
            kill: None,
            off_variant: self.off_variant.clone(),
            prerequisites: Vec::new(),
            targets: Vec::new(),
            rules: Vec::new(),
            default: Serve::Variant(self.default_variant.clone()),
            availability: Availability::default(),
            salt: format!("{}/{environment}", self.salt),
            rollout: None,
            guard: None,
        }
    }
}

impl FlagEnvironment {
    /// Whether everybody gets the off variant: the flag is killed or disabled.
    pub fn is_off(&self) -> bool {
        !self.enabled || self.kill.is_some()
    }

    /// The flags that must hold before this one is served.
    pub fn prerequisite_keys(&self) -> impl Iterator<Item = &FlagKey> {
        self.prerequisites.iter().map(|prerequisite| &prerequisite.flag)
    }
}
