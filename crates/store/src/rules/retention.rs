//! What may be forgotten.

use jeton_core::clock::Timestamp;
use jeton_core::token::CutOff;

/// Whether a cut-off covers no record, of which the oldest was made at this instant: once its event is
/// pruned, it may go. One of a key stays: whoever stole the key writes what time of issue they like.
pub fn is_idle(cut_off: &CutOff, oldest_record: Option<Timestamp>) -> bool {
    cut_off.reach.kid.is_none()
        && oldest_record.is_none_or(|oldest| cut_off.issued_through < oldest.seconds())
}
