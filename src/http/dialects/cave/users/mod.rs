//! Users: `/users`.

mod info;
mod login;
mod mail;
mod organizations;
mod search;

use std::sync::Arc;

use crate::http::routes::routes;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;
use jeton_core::directory::Person;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(login::login))
        .routes(routes!(info::show, info::change))
        .routes(routes!(organizations::list))
        .routes(routes!(organizations::list_teams))
        .routes(routes!(search::search))
        .merge(mail::routes())
}

/// A user. Unknown fields are empty.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserInfo {
    #[schema(example = "Ada")]
    first_name: String,
    #[schema(example = "Byron")]
    last_name: String,
    #[schema(example = "ada@example.com")]
    email: String,
}

impl UserInfo {
    pub(super) fn of(person: &Person) -> Self {
        Self {
            first_name: person.first_name.clone().unwrap_or_default(),
            last_name: person.last_name.clone().unwrap_or_default(),
            email: person.email.to_string(),
        }
    }
}
