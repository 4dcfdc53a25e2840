//! `sla.toml`: what is promised to whom.

use rejoinder_model::{MINUTE_MS, Millis};
use rejoinder_wire::event::sla_policy::{Retarget, Rule, Target};
use rejoinder_wire::event::{Metric, SlaPolicy};
use toml_edit::{Item, Table, TableLike};

use crate::Policy;
use crate::duration;
use crate::problem::Problems;
use crate::reader::{File, nearest};
use crate::routing;

/// The calendar that need not be written down: round the clock.
pub(crate) const ALWAYS: &str = "always";

/// What takes longer is no promise.
const CENTURY_WEEKS: i64 = 5_218;
const KEYS: [&str; 8] = ["name", "match", "calendar", "warn", "retarget", "bots_answer", "confirmed", "targets"];
const MATCHES: [&str; 5] = ["channel", "queue", "band", "tier", "language"];
const BANDS: [&str; 4] = ["safety", "crisis", "normal", "listen"];
const METRICS: [(&str, Metric); 8] = [
    ("first_response", Metric::FirstResponse),
    ("next_response", Metric::NextResponse),
    ("periodic_update", Metric::PeriodicUpdate),
    ("requester_wait", Metric::RequesterWait),
    ("agent_work", Metric::AgentWork),
    ("resolution", Metric::Resolution),
    ("queue_wait", Metric::QueueWait),
    ("offer_accept", Metric::OfferAccept),
];
const RETARGETS: [(&str, Retarget); 3] =
    [("keep", Retarget::Keep), ("shorten_only", Retarget::ShortenOnly), ("restart", Retarget::Restart)];

/// What policies say of queues.
pub(crate) fn references(file: &File<'_>, policy: &Policy, problems: &mut Problems) {
    let mut silent = Problems::default();
    for (table, _) in file.tables(file.root(), "policy", &mut silent) {
        let Some(matches) = table.get("match").and_then(Item::as_table_like) else { continue };
        for (queue, span) in file.strings(matches, "queue", &mut silent) {
            routing::known_queue(file, policy, &queue, span, problems);
        }
    }
}

pub(crate) fn read(file: &File<'_>, policy: &mut Policy, problems: &mut Problems) {
    file.known_keys(file.root(), &["policy"], problems);
    let mut rules: Vec<Rule> = Vec::new();
    let item = file.root().get("policy");
    match item.map(Item::as_array_of_tables) {
        None => {}
        Some(None) => {
            let what = "policies are tables of their own: [[policy]]".to_owned();
            item.into_iter().for_each(|item| file.problem(item, what.clone(), problems));
        }
        Some(Some(tables)) => {
            for table in tables {
                let rule = Reader { file, table, policy }.rule(problems);
                let name = table.get("name").and_then(Item::span).or_else(|| table.span());
                let twice = rules.iter().any(|other| other.name == rule.name && !rule.name.is_empty());
                if twice {
                    problems.at(
                        file.name,
                        file.text,
                        name.clone(),
                        format!("there is a policy {:?} already", rule.name),
                    );
                }
                if let Some(before) = rules.iter().find(|other| matches_all(other)) {
                    let what = format!("it never counts: the policy {:?} before it matches every thread", before.name);
                    problems.at(file.name, file.text, name, what);
                }
                rules.push(rule);
            }
        }
    }
    policy.sla = Some(SlaPolicy { calendars: policy.calendars.clone(), rules });
}

fn matches_all(rule: &Rule) -> bool {
    [&rule.channels, &rule.queues, &rule.bands, &rule.tiers, &rule.languages].into_iter().all(Vec::is_empty)
}

/// Reads one policy.
struct Reader<'f, 'a> {
    file: &'f File<'a>,
    table: &'f Table,
    policy: &'f Policy,
}

/// What targets have unless they say otherwise.
struct Defaults {
    calendar: String,
    warn: Vec<Warning>,
}

/// When a warning is given.
#[derive(Clone, Copy)]
enum Warning {
    Percent(Millis),
    Before(Millis),
}

impl Reader<'_, '_> {
    fn rule(&self, problems: &mut Problems) -> Rule {
        let Self { file, table, .. } = *self;
        file.known_keys(table, &KEYS, problems);
        let name = match file.string(table, "name", problems) {
            Some("") => {
                self.at("name", "a name has one character at least".into(), problems);
                None
            }
            None if !table.contains_key("name") => {
                problems.at(file.name, file.text, table.span(), "the policy has no name".into());
                None
            }
            name => name,
        };
        let retarget = file.string(table, "retarget", problems).unwrap_or("keep");
        let known = RETARGETS.iter().find(|(name, _)| *name == retarget);
        if known.is_none() {
            let what = format!("there is no {retarget:?}{}", nearest(retarget, &RETARGETS.map(|(name, _)| name)));
            self.at("retarget", what, problems);
        }
        let defaults = Defaults { calendar: self.calendar(table, problems), warn: self.warnings(table, problems) };
        let mut rule = Rule {
            name: name.unwrap_or_default().to_owned(),
            retarget: known.map_or(Retarget::Keep, |(_, retarget)| *retarget) as i32,
            bots_answer: file.boolean(table, "bots_answer", problems).unwrap_or_default(),
            confirmed: file.boolean(table, "confirmed", problems).unwrap_or_default(),
            targets: self.targets(&defaults, problems),
            ..Rule::default()
        };
        self.matches(&mut rule, problems);
        rule
    }

    fn at(&self, key: &str, what: String, problems: &mut Problems) {
        problems.at(self.file.name, self.file.text, self.table.get(key).and_then(Item::span), what);
    }

    fn matches(&self, rule: &mut Rule, problems: &mut Problems) {
        let Some(item) = self.table.get("match") else { return };
        let Some(table) = item.as_table_like() else {
            return self.at("match", "match is a table, like { channel = [\"x\"] }".into(), problems);
        };
        self.file.known_keys(table, &MATCHES, problems);
        let mut list = |key: &str| {
            let texts = self.file.strings(table, key, problems);
            for (text, span) in &texts {
                let what = if key == "band" && !BANDS.contains(&text.as_str()) {
                    format!("there is no band {text:?}{}", nearest(text, &BANDS))
                } else if text.is_empty() {
                    format!("no {key} is called so")
                } else {
                    continue;
                };
                problems.at(self.file.name, self.file.text, span.clone(), what);
            }
            texts.into_iter().map(|(text, _)| text).collect::<Vec<String>>()
        };
        rule.channels = list("channel");
        rule.queues = list("queue");
        rule.bands = list("band");
        rule.tiers = list("tier");
        rule.languages = list("language");
    }

    /// A calendar by name; empty: round the clock.
    fn calendar(&self, table: &dyn TableLike, problems: &mut Problems) -> String {
        let Some(name) = self.file.string(table, "calendar", problems) else { return String::new() };
        let names: Vec<&str> =
            self.policy.calendars.iter().map(|calendar| calendar.name.as_str()).chain([ALWAYS]).collect();
        if name == ALWAYS {
            return String::new();
        }
        if !names.contains(&name) {
            let what = format!("calendars.toml has no calendar {name:?}{}", nearest(name, &names));
            problems.at(self.file.name, self.file.text, table.get("calendar").and_then(Item::span), what);
        }
        name.to_owned()
    }

    fn warnings(&self, table: &dyn TableLike, problems: &mut Problems) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (text, span) in self.file.strings(table, "warn", problems) {
            let percent = text.strip_suffix('%').map(|number| number.trim().parse::<Millis>());
            match (percent, duration::within(&text, "1s", "3650d")) {
                (Some(Ok(percent @ 1..=99)), _) => warnings.push(Warning::Percent(percent)),
                (None, Ok(before)) => warnings.push(Warning::Before(before)),
                _ => {
                    let what = format!("{text:?} is no warning, like \"80%\" of the target or \"15m\" before its end");
                    problems.at(self.file.name, self.file.text, span, what);
                }
            }
        }
        warnings
    }

    fn targets(&self, defaults: &Defaults, problems: &mut Problems) -> Vec<Target> {
        let Some(item) = self.table.get("targets") else { return Vec::new() };
        let Some(targets) = item.as_table_like() else {
            self.at("targets", "targets are a table: [policy.targets]".into(), problems);
            return Vec::new();
        };
        self.file.known_keys(targets, &METRICS.map(|(name, _)| name), problems);
        let target = |(name, metric): (&str, Metric)| self.target(targets, name, metric, defaults, problems);
        METRICS.into_iter().filter_map(target).collect()
    }

    fn target(
        &self,
        targets: &dyn TableLike,
        name: &str,
        metric: Metric,
        defaults: &Defaults,
        problems: &mut Problems,
    ) -> Option<Target> {
        let item = targets.get(name)?;
        let own = item.as_table_like();
        if let Some(own) = own {
            self.file.known_keys(own, &["within", "calendar", "warn"], problems);
        }
        let (within, at) = match own {
            Some(own) => (self.file.string(own, "within", problems), own.get("within").or(Some(item))),
            None => (self.file.string(targets, name, problems), Some(item)),
        };
        let mut wrong = |what: String| problems.at(self.file.name, self.file.text, at.and_then(Item::span), what);
        let target_ms = match within.map(|within| duration::within(within, "1s", "3650d")) {
            Some(Ok(target_ms)) => target_ms,
            Some(Err(what)) => {
                wrong(what);
                return None;
            }
            None => {
                if own.is_some_and(|own| !own.contains_key("within")) {
                    wrong(format!("{name} says not within what time"));
                }
                return None;
            }
        };
        let own = own.map(|own| (own.contains_key("calendar"), own.contains_key("warn"), own));
        let calendar = match own {
            Some((true, _, own)) => self.calendar(own, problems),
            _ => defaults.calendar.clone(),
        };
        let known = self.policy.calendars.iter().find(|known| known.name == calendar);
        if let Some(known) = known {
            let week: u32 = known.week.iter().map(|period| period.to - period.from).sum();
            let weeks = target_ms / (Millis::from(week).max(1) * MINUTE_MS);
            if weeks > CENTURY_WEEKS {
                let what = format!(
                    "{name} is not due within a century: calendar {calendar:?} has {week} minutes of work a week"
                );
                problems.at(self.file.name, self.file.text, at.and_then(Item::span), what);
                return None;
            }
        }
        let warnings = match own {
            Some((_, true, own)) => self.warnings(own, problems),
            _ => defaults.warn.clone(),
        };
        let after = |warning: &Warning| match warning {
            Warning::Percent(percent) => target_ms * percent / 100,
            // One that would be given before it begins is none.
            Warning::Before(before) => target_ms - before,
        };
        let mut warn_after_ms: Vec<Millis> = warnings.iter().map(after).filter(|after| *after > 0).collect();
        warn_after_ms.sort_unstable();
        warn_after_ms.dedup();
        Some(Target { metric: metric as i32, target_ms, calendar, warn_after_ms })
    }
}
