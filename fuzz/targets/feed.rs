//! Pages and items of the feed, applied to what a follower knows. Nothing that does not follow changes it.
#![no_main]

use jeton_verifier::event::Position;
use jeton_verifier::feed::{Cursor, Item, Page};
use jeton_verifier::Known;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
    let items = match serde_json::from_str::<Page>(text) {
        Ok(page) => page.items,
        Err(_) => text.lines().filter_map(|line| serde_json::from_str::<Item>(line).ok()).collect(),
    };
    let Some(first) = items.first() else { return };
    let known = Known::beginning("https://jeton.example", Position::beginning(first.place().epoch));
    for item in &items {
        let before = known.position();
        match known.apply(item) {
            Ok(()) => {
                let after = known.position();
                assert_eq!(after.sequence, before.sequence + 1);
                assert_eq!(after.hash, item.place().hash);
                assert_eq!(known.apply(item).ok(), None, "applied twice");
            }
            Err(_) => assert_eq!(known.position(), before),
        }
        let written = serde_json::to_string(item).expect("an item is JSON");
        assert_eq!(serde_json::from_str::<Item>(&written).ok().as_ref(), Some(item));
    }
});
