//! Rules for the settings of a deployment.

use crate::{Cause, Edit, Effect, Guard, Order, Realm, StoredSettings, Versioned};

/// Sets a setting to a value in TOML, or returns it to its default; `None` if that changes nothing. The order is guarded
/// by the version of all settings, since the caller has checked the value together with the others.
pub fn set(
    cause: Cause,
    settings: &Versioned<StoredSettings>,
    name: &str,
    value: Option<String>,
) -> Option<Order> {
    let edit = Edit {
        before: settings.value.get(name).cloned(),
        after: value,
    };
    (edit.before != edit.after).then(|| {
        Order::new(cause)
            .guard(Guard::Unchanged(Realm::Keys, settings.generation))
            .effect(Effect::SetSetting(name.to_owned(), edit))
    })
}
