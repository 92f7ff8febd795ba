//! The random steps applied to both stores.

use jeton_core::token::{Direction, Order, Sort, SortBy, Status, WantedStatus};
use proptest::collection::vec;
use proptest::prelude::*;

/// One step. Numbers choose among the items created so far.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Issue {
        owner: usize,
        name: String,
        life: Option<i64>,
        slot: Option<&'static str>,
        session: bool,
        most: Option<u32>,
        unique: bool,
    },
    Rotate {
        token: usize,
        grace: i64,
        most: Option<u32>,
    },
    Revoke {
        token: usize,
        grace: i64,
        may_go: bool,
    },
    Describe(usize, String),
    CutOff {
        reach: usize,
        ago: i64,
        ahead: i64,
    },
    Person(usize, u8),
    Member(usize, Option<usize>),
    TeamMember(usize, Option<usize>),
    Offer {
        who: usize,
        role: usize,
        team: bool,
    },
    /// Accepts, or declines.
    Answer(usize, bool),
    Team(u8),
    Project(Option<u32>),
    Policy {
        keeps: bool,
        most: Option<u32>,
    },
    RemoveOther,
    RevokeMany {
        filter: Ask,
        ahead: Option<i64>,
        may_go: bool,
        breaking: bool,
    },
    CarryOn(i64),
    Key(u8),
    Use(usize, u8),
    Purge(i64),
    List(Ask, Sort, Direction, u32, Option<u64>),
    Reopen,
}

/// A filter for tokens.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) own: bool,
    pub(super) organization: bool,
    pub(super) text: String,
    pub(super) status: Option<WantedStatus>,
}

fn ask() -> impl Strategy<Value = Ask> {
    let wanted = prop_oneof![
        Just(WantedStatus::Unrevoked),
        Just(WantedStatus::Only(Status::Active)),
        Just(WantedStatus::Only(Status::Expired)),
        Just(WantedStatus::Only(Status::Revoked)),
    ];
    let text = "[a-cA-C%_]{0,2}";
    (any::<bool>(), any::<bool>(), text, prop::option::of(wanted)).prop_map(
        |(own, organization, text, status)| Ask {
            own,
            organization,
            text,
            status,
        },
    )
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = || prop_oneof![3 => Just(None), 1 => Just(Some("a")), 1 => Just(Some("b"))];
    let most = || prop::option::weighted(0.3, 1_u32..4);
    let life = prop::option::of(prop_oneof![2_i64..40, 5_i64..400_000_000]);
    let name = "[a-cA-C%_\u{e9}]{1,3}";
    let issue = (0_usize..5, name, life, slot(), any::<[bool; 3]>(), most());
    let issue = issue.prop_map(
        |(owner, name, life, slot, [session, unique, also], most)| Step::Issue {
            owner,
            name,
            life,
            session: session && also && owner == 2 && slot.is_none(),
            slot,
            most,
            unique,
        },
    );
    let by = prop_oneof![
        Just(SortBy::CreatedAt),
        Just(SortBy::ExpiresAt),
        Just(SortBy::LastUsedAt),
        Just(SortBy::Name),
        Just(SortBy::Team),
        Just(SortBy::CreatedBy),
    ];
    let order = prop_oneof![Just(Order::Descending), Just(Order::Ascending)];
    let direction = prop_oneof![Just(Direction::Next), Just(Direction::Previous)];
    let list = (ask(), by, order, direction, 1_u32..6, prop::option::of(0_u64..8));
    let who = || 0..super::PEOPLE.len();
    let role = || prop::option::of(0_usize..3);
    let step = prop_oneof![
        12 => issue,
        4 => (0_usize..40, 0_i64..20, most()).prop_map(|(token, grace, most)| Step::Rotate { token, grace, most }),
        5 => (0_usize..40, 0_i64..50, any::<bool>())
            .prop_map(|(token, grace, may_go)| Step::Revoke { token, grace, may_go }),
        1 => (0_usize..40, name).prop_map(|(token, name)| Step::Describe(token, name)),
        2 => (0_usize..8, 0_i64..9, 0_i64..9)
            .prop_map(|(reach, ago, ahead)| Step::CutOff { reach, ago, ahead }),
        3 => (who(), 0_u8..5).prop_map(|(who, what)| Step::Person(who, what)),
        3 => (who(), role()).prop_map(|(who, role)| Step::Member(who, role)),
        2 => (who(), role()).prop_map(|(who, role)| Step::TeamMember(who, role)),
        3 => (who(), 0_usize..3, any::<bool>()).prop_map(|(who, role, team)| Step::Offer { who, role, team }),
        2 => (who(), any::<bool>()).prop_map(|(who, accepts)| Step::Answer(who, accepts)),
        1 => (0_u8..3).prop_map(Step::Team),
        1 => prop::option::of(1_u32..4).prop_map(Step::Project),
        2 => (any::<bool>(), most()).prop_map(|(keeps, most)| Step::Policy { keeps, most }),
        1 => Just(Step::RemoveOther),
        2 => (ask(), prop::option::of(0_i64..20), any::<bool>(), any::<bool>())
            .prop_map(|(filter, ahead, may_go, breaking)| Step::RevokeMany { filter, ahead, may_go, breaking }),
        3 => (1_i64..4).prop_map(Step::CarryOn),
        2 => (0_u8..4).prop_map(Step::Key),
        2 => (0_usize..40, 0_u8..3).prop_map(|(token, how)| Step::Use(token, how)),
        1 => (0_i64..30).prop_map(Step::Purge),
        4 => list.prop_map(|(ask, by, order, direction, limit, offset)| {
            Step::List(ask, Sort { by, order }, direction, limit, offset)
        }),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..60)
}
