//! The real process: started as an operator starts it, and killed as nobody should.

mod busy;
mod cli;
mod client;
mod crash;
mod home;
mod rate_limits;
mod rotation;
mod secrets;
mod slow;
mod startup;
mod stop;
mod throttle;
