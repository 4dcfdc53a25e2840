//! What a run leaves, and how rough it was.

/// What a run leaves: equal for equal seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Of all bytes of the log.
    pub log: u64,
    /// Of what was done.
    pub actions: u64,
    /// How rough it was.
    pub rough: Roughness,
    /// Inputs that could not be decided on at once.
    pub aside: u64,
}

macro_rules! roughness {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// How much went wrong in a run, and how much was done all the same.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Roughness {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Roughness {
            /// The sum of both.
            #[must_use]
            pub fn with(self, other: Self) -> Self {
                Self { $($name: self.$name + other.$name,)+ }
            }

            /// Each count with its name.
            #[must_use]
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

roughness!(
    /// Power cuts and kills.
    crashes,
    /// Lanes that another machine took over.
    moves,
    /// Records that did not count.
    void,
    /// Answers of unknown outcome.
    lost,
    /// Messages answered as duplicates.
    duplicates,
    /// Messages accepted.
    messages,
    /// Timers of threads that fired.
    fired,
    /// Checkpoints compared.
    checkpoints,
    /// Offers made.
    offers,
    /// Offers accepted.
    accepted,
    /// Offers declined.
    declined,
    /// Offers that were not answered in time.
    timed_out,
    /// Offers taken back.
    revoked,
    /// Times that an agent held more than its capacity.
    overcommitted,
    /// Items that were parked and woke.
    woken,
    /// Clocks opened.
    clocks,
    /// Clocks that a tick found due.
    breaches,
    /// Breaches taken back.
    retractions,
    /// Warnings.
    warnings,
    /// Alarms that somebody acknowledged.
    acknowledged,
);
