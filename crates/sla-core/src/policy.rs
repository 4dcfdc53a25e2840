//! From the policy as events carry it to rules and calendars as clocks use them.

use rejoinder_wire::event::{SlaPolicy, sla_policy};
use xxhash_rust::xxh3::Xxh3;

use crate::follow::bits;
use crate::record::{Hours, Period, Rule, Target, Terms, Thread, Workspace};

impl Workspace {
    /// The first rule that matches a thread; `None`: it has no clocks.
    pub(crate) fn rule_for(&self, thread: &Thread) -> Option<&Rule> {
        let within = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        self.rules.iter().find(|rule| {
            within(&rule.channels, thread.channel())
                && within(&rule.queues, &thread.queue)
                && within(&rule.bands, &thread.band)
                // Nobody tells these yet: a rule that asks for them waits for who does.
                && within(&rule.tiers, "")
                && within(&rule.languages, "")
        })
    }
}

impl Rule {
    /// The metrics that it has targets for, one bit each.
    pub(crate) fn metrics(rule: Option<&Self>) -> u32 {
        bits(rule.into_iter().flat_map(|rule| &rule.targets).map(|target| target.metric))
    }
}

/// The hours of a policy's calendars, by digest.
pub(crate) fn calendars(policy: &SlaPolicy) -> impl Iterator<Item = (u64, Hours)> {
    policy.calendars.iter().map(|calendar| {
        let hours = hours(calendar);
        (digest(&hours), hours)
    })
}

fn hours(calendar: &sla_policy::Calendar) -> Hours {
    let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let period = |period: &sla_policy::Period| Period {
        weekday: u8::try_from(period.weekday).unwrap_or(u8::MAX),
        from: small(period.from),
        to: small(period.to),
    };
    Hours {
        time_zone: calendar.time_zone.clone(),
        week: calendar.week.iter().map(period).collect(),
        holidays: calendar.holidays.clone(),
    }
}

/// Hours by what they say, never 0.
fn digest(hours: &Hours) -> u64 {
    let mut hasher = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(hours.time_zone.as_bytes());
    part(
        &hours
            .week
            .iter()
            .flat_map(|p| [u16::from(p.weekday), p.from, p.to])
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<_>>(),
    );
    hours.holidays.iter().for_each(|day| part(day.as_bytes()));
    hasher.digest().max(1)
}

/// The rules of a policy.
pub(crate) fn rules(policy: &SlaPolicy) -> Vec<Rule> {
    let digest_of = |name: &str| {
        let found = policy.calendars.iter().find(|calendar| calendar.name == name);
        found.map_or(0, |calendar| digest(&hours(calendar)))
    };
    let target = |target: &sla_policy::Target| Target {
        metric: target.metric,
        terms: Terms {
            target_ms: target.target_ms,
            warn_after_ms: target.warn_after_ms.clone(),
            calendar: target.calendar.clone(),
            digest: digest_of(&target.calendar),
        },
    };
    let rule = |rule: &sla_policy::Rule| Rule {
        name: rule.name.clone(),
        channels: rule.channels.clone(),
        queues: rule.queues.clone(),
        bands: rule.bands.clone(),
        tiers: rule.tiers.clone(),
        languages: rule.languages.clone(),
        retarget: rule.retarget,
        bots_answer: rule.bots_answer,
        confirmed: rule.confirmed,
        targets: rule.targets.iter().map(target).collect(),
    };
    policy.rules.iter().map(rule).collect()
}
