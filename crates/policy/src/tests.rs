//! Tables of what is taken and what is wrong.

use rejoinder_model::{DAY_MS, HOUR_MS};

use super::*;

fn said(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    check(&files).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_right_is_taken() {
    let accounts =
        "[[account]]\nchannel = \"x\"\nid = \"acme\"\n[[account]]\nchannel = \"x\"\nid = \"acme_bot\"\nbot = true\n";
    let threading = "reopen_window = \"3d\"\nsilence = \"never\"\nburst_gap = \"1h\"\n";
    let files =
        [("accounts.toml".to_owned(), accounts.to_owned()), ("threading.toml".to_owned(), threading.to_owned())];
    let policy = check(&files).unwrap().threading;
    assert_eq!((policy.reopen_window_ms, policy.silence_ms, policy.burst_gap_ms), (3 * DAY_MS, 0, HOUR_MS));
    let accounts: Vec<(&str, bool)> =
        policy.accounts.iter().map(|account| (account.id.as_str(), account.bot)).collect();
    assert_eq!(accounts, [("acme", false), ("acme_bot", true)]);
    assert_eq!(check(&[]), Ok(Policy::default()));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let table: [(&str, &str, &str); 33] = [
        (
            "threading.toml",
            "reopen_windw = \"7d\"",
            "threading.toml:1:1: there is no option \"reopen_windw\"; did you mean \"reopen_window\"?",
        ),
        (
            "threading.toml",
            "\n  silence = 7",
            "threading.toml:2:13: silence is a text, like \"…\", and this is a number",
        ),
        ("threading.toml", "burst_gap = \"8d\"", "threading.toml:1:13: \"8d\" is not within 1m to 7d"),
        (
            "threading.toml",
            "# ä\nburst_gap = \"soon\"",
            "threading.toml:2:13: \"soon\" is no duration, like \"30m\", \"7d\" or \"1h 30m\"",
        ),
        ("threading.toml", "burst_gap = ", "threading.toml:1:13: a value is missing or no TOML"),
        (
            "threading.toml",
            "silence = \"1d\"\nsilence = \"2d\"",
            "threading.toml:2:1: duplicate key `silence` in document root",
        ),
        ("accounts.toml", "account = 1", "accounts.toml:1:11: accounts are tables of their own: [[account]]"),
        ("accounts.toml", "[[account]]\nid = \"a\"", "accounts.toml:1:1: the account has no channel"),
        (
            "accounts.toml",
            "[[account]]\nchannel = \"x\"\nid = \"\"",
            "accounts.toml:3:6: id has 1 to 512 bytes and no control characters",
        ),
        (
            "accounts.toml",
            "[[account]]\nchannel = \"x\"\nid = \"a\"\nbot = \"no\"",
            "accounts.toml:4:7: bot is true or false, and this is a text",
        ),
        (
            "accounts.toml",
            "[[account]]\nchannel = \"x\"\nid = \"a\"\n[[account]]\nchannel = \"x\"\nid = \"a\"",
            "accounts.toml:4:1: x a is listed before",
        ),
        ("acounts.toml", "", "acounts.toml: it is no policy file; did you mean \"accounts.toml\"?"),
        ("queues.toml", "[[queue]]", "queues.toml:1:1: the queue has no name"),
        ("queues.toml", "queue = 1", "queues.toml:1:9: queue is a list of tables: [[queue]]"),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\n[[queue]]\nname = \"a\"",
            "queues.toml:3:1: queue a is listed before",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\nstrategy = \"longest_idel\"",
            "queues.toml:3:12: strategy has no \"longest_idel\"; did you mean \"longest_idle\"?",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\nparallel_offers = 0",
            "queues.toml:3:19: parallel_offers is a number from 1 to 10, and this is 0",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\npreferred_wait = \"61s\"",
            "queues.toml:3:18: \"61s\" is not within 0s to 60s",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\noverflow = \"b\"\n[[queue]]\nname = \"c\"",
            "queues.toml:3:12: there is no queue \"b\"; did you mean \"a\"?",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\noverflow = \"a\"",
            "queues.toml:3:12: queue a overflows into itself by a",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\nlast_step = \"overflow_queue\"",
            "queues.toml:1:1: queue a names no overflow queue",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\nskills = [{ name = \"s\", level = 7, relax = [{ after = \"60s\" }] }]",
            "queues.toml:3:45: a relaxation has an after and a level",
        ),
        (
            "queues.toml",
            "[[queue]]\nname = \"a\"\nskills = [{ name = \"s\", relax = [{ after = \"60s\", level = 1 }, { after = \"9s\", level = 0 }] }]",
            "queues.toml:3:74: relaxations come one after the other",
        ),
        ("queues.toml", "[[route]]\nchannel = \"x\"", "queues.toml:1:1: the route has no queue"),
        (
            "queues.toml",
            "[[route]]\nqueue = \"default\"\nkind = \"emial\"",
            "queues.toml:3:8: there is no kind \"emial\"; did you mean \"email\"?",
        ),
        (
            "agents.toml",
            "[[agent]]\nid = \"ann\"\nqueues = [\"defualt\"]",
            "agents.toml:3:11: there is no queue \"defualt\"; did you mean \"default\"?",
        ),
        (
            "agents.toml",
            "[[agent]]\nid = \"ann\"\nqueues = [\"default\", { name = \"default\", priority = 2 }]",
            "agents.toml:3:22: queue default is named before",
        ),
        (
            "agents.toml",
            "[[agent]]\nid = \"ann\"\nskills = { spanish = 0 }",
            "agents.toml:3:22: spanish is a number from 1 to 100, and this is 0",
        ),
        (
            "agents.toml",
            "[[agent]]\nid = \"ann\"\nmax = { chats = 2 }",
            "agents.toml:3:9: there is no kind or group \"chats\"; there are voice, live_chat, direct_message, \
             public_post, email",
        ),
        ("routing.toml", "total = \"many\"", "routing.toml:1:9: total is a number from 1 to 10000, and this is a text"),
        (
            "routing.toml",
            "[[kind]]\nname = \"email\"\nwrap_up = \"later\"",
            "routing.toml:3:11: \"later\" is no duration, like \"30m\", \"7d\" or \"1h 30m\", nor \"none\", nor \"manual\"",
        ),
        (
            "routing.toml",
            "[[kind]]\nname = \"email\"\ngroup = \"text\"\n[[group]]\nname = \"texts\"\nmax = 6",
            "routing.toml:3:9: there is no group \"text\"; did you mean \"texts\"?",
        ),
        (
            "routing.toml",
            "[[kind]]\nname = \"email\"\noffer_timeout = \"2d\"",
            "routing.toml:3:17: \"2d\" is not within 1s to 1d",
        ),
    ];
    for (name, text, expected) in table {
        assert_eq!(said(&[(name, text)]), [expected], "{text}");
    }
}

#[test]
fn all_problems_are_found_at_once() {
    let found = said(&[
        ("accounts.toml", "[[account]]\nchanel = \"x\"\nid = 1\n"),
        ("threading.toml", "silence = \"x\"\nburst_gap = 5\n"),
        ("sla.toml", ""),
        ("sla.toml", ""),
        ("shifts.toml", ""),
    ]);
    assert_eq!(found.len(), 7, "{found:#?}");
    let large = "#".repeat(MAX_BYTES + 1);
    assert_eq!(said(&[("threading.toml", &large)]).len(), 1);
}

#[test]
fn the_sample_is_right() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = [
        file("accounts.toml", include_str!("../../../deploy/policy/accounts.toml")),
        file("calendars.toml", include_str!("../../../deploy/policy/calendars.toml")),
        file("sla.toml", include_str!("../../../deploy/policy/sla.toml")),
        file("threading.toml", include_str!("../../../deploy/policy/threading.toml")),
        file("queues.toml", include_str!("../../../deploy/policy/queues.toml")),
        file("agents.toml", include_str!("../../../deploy/policy/agents.toml")),
        file("routing.toml", include_str!("../../../deploy/policy/routing.toml")),
    ];
    let policy = check(&files).unwrap();
    let windows = |policy: &Policy| (policy.threading.reopen_window_ms, policy.threading.silence_ms);
    assert_eq!(windows(&policy), windows(&Policy::default()), "the sample says what the defaults are");
    assert!(!policy.threading.accounts.is_empty());
    assert_eq!((policy.routing.queues.len(), policy.routing.agents.len()), (3, 4));
    let times = |policy: &Policy| {
        let routing = &policy.routing;
        let kinds: Vec<_> = routing.kinds.iter().map(|kind| (kind.name.clone(), kind.cost, kind.max)).collect();
        (routing.declined_ms, routing.wake_ms, routing.give_back_ms, routing.total, routing.max_parked, kinds)
    };
    assert_eq!(times(&policy), times(&Policy::default()), "and so do the times and kinds of routing");
    let sla = policy.sla.unwrap();
    assert_eq!((sla.calendars.len(), sla.rules.len()), (1, 2));
}

const OFFICE: &str = "[[calendar]]\nname = \"office\"\ntime_zone = \"Europe/Berlin\"\n\
                      hours = { fri-mon = [\"09:00-12:00\", \"13:00-24:00\"] }\nholidays = [\"2026-12-25\"]\n";

#[test]
fn targets_and_calendars_are_taken() {
    let sla = "[[policy]]\nname = \"vip\"\nmatch = { channel = [\"x\"], band = [\"crisis\"] }\ncalendar = \"office\"\n\
               warn = [\"50%\", \"15m\"]\nretarget = \"restart\"\nbots_answer = true\n[policy.targets]\n\
               first_response = \"1h\"\nresolution = { within = \"10m\", calendar = \"always\" }\n";
    // In whatever order the files are given.
    let files = [("sla.toml".to_owned(), sla.to_owned()), ("calendars.toml".to_owned(), OFFICE.to_owned())];
    let sla = check(&files).unwrap().sla.unwrap();
    let week: Vec<(u32, u32, u32)> = sla.calendars[0].week.iter().map(|p| (p.weekday, p.from, p.to)).collect();
    let of_day = |day| [(day, 540, 720), (day, 780, 1_440)];
    assert_eq!(week, [of_day(0), of_day(4), of_day(5), of_day(6)].concat());
    let rule = &sla.rules[0];
    assert_eq!((rule.channels[0].as_str(), rule.bands[0].as_str(), rule.bots_answer), ("x", "crisis", true));
    let minutes = |ms: &i64| ms / 60_000;
    let targets: Vec<(i32, i64, &str, Vec<i64>)> = rule
        .targets
        .iter()
        .map(|t| (t.metric, minutes(&t.target_ms), t.calendar.as_str(), t.warn_after_ms.iter().map(minutes).collect()))
        .collect();
    // A quarter of an hour before the end of ten minutes is no time.
    assert_eq!(targets, [(1, 60, "office", vec![30, 45]), (6, 10, "", vec![5])]);
    let empty = check(&[("sla.toml".to_owned(), String::new())]).unwrap();
    assert_eq!(empty.sla.map(|sla| sla.rules.len()), Some(0), "no promises are promises too");
}

#[test]
fn what_is_wrong_with_targets_and_calendars_is_named_with_its_place() {
    let calendar = |rest: &str| format!("[[calendar]]\nname = \"c\"\ntime_zone = \"UTC\"\n{rest}\n");
    let policy = |rest: &str| format!("[[policy]]\nname = \"p\"\n{rest}\n");
    let table: [(&str, String, &str); 16] = [
        (
            "calendars.toml",
            calendar(""),
            "calendars.toml:1:1: the calendar is never open: give it hours, like mon-fri = [\"09:00-17:00\"]",
        ),
        (
            "calendars.toml",
            calendar("hours = { mon = [] }"),
            "calendars.toml:4:9: the calendar is never open: give it hours, like mon-fri = [\"09:00-17:00\"]",
        ),
        (
            "calendars.toml",
            OFFICE.replace("Berlin", "Atlantis"),
            "calendars.toml:3:13: there is no time zone \"Europe/Atlantis\": they are named like \"Europe/Berlin\" or \"UTC\"",
        ),
        (
            "calendars.toml",
            calendar("hours = { mon = [\"9-17\"] }"),
            "calendars.toml:4:18: \"9-17\" is no period, like \"09:00-17:00\"",
        ),
        (
            "calendars.toml",
            calendar("hours = { mon = [\"22:00-06:00\"] }"),
            "calendars.toml:4:18: \"22:00-06:00\" ends before it begins: a night is two periods, to 24:00 and from 00:00",
        ),
        (
            "calendars.toml",
            calendar("hours = { mon = [\"09:00-12:00\"], daily = [\"11:00-13:00\"] }"),
            "calendars.toml:4:42: periods of mon overlap",
        ),
        (
            "calendars.toml",
            calendar("hours = { mo = [\"09:00-12:00\"] }"),
            "calendars.toml:4:11: \"mo\" is no day or days, like \"mon\", \"mon-fri\" or \"daily\"; did you mean \"mon\"?",
        ),
        (
            "calendars.toml",
            calendar("hours = { mon = [\"09:00-12:00\"] }\nholidays = [\"Xmas\"]"),
            "calendars.toml:5:13: \"Xmas\" is no day, like \"2026-12-25\"",
        ),
        (
            "sla.toml",
            policy("targets = { first_response = \"0s\" }"),
            "sla.toml:3:30: \"0s\" is not within 1s to 3650d",
        ),
        (
            "sla.toml",
            policy("targets = { resolution = { within = \"36500d\" } }"),
            "sla.toml:3:37: \"36500d\" is not within 1s to 3650d",
        ),
        (
            "sla.toml",
            policy("targets = { first_respons = \"1h\" }"),
            "sla.toml:3:13: there is no option \"first_respons\"; did you mean \"first_response\"?",
        ),
        (
            "sla.toml",
            policy("calendar = \"offices\""),
            "sla.toml:3:12: calendars.toml has no calendar \"offices\"; there are always",
        ),
        (
            "sla.toml",
            policy("warn = [\"120%\"]"),
            "sla.toml:3:9: \"120%\" is no warning, like \"80%\" of the target or \"15m\" before its end",
        ),
        (
            "sla.toml",
            policy("match = { band = [\"urgent\"] }"),
            "sla.toml:3:19: there is no band \"urgent\"; there are safety, crisis, normal, listen",
        ),
        (
            "sla.toml",
            policy("retarget = \"shorten\""),
            "sla.toml:3:12: there is no \"shorten\"; there are keep, shorten_only, restart",
        ),
        (
            "sla.toml",
            policy("[[policy]]\nname = \"q\""),
            "sla.toml:4:8: it never counts: the policy \"p\" before it matches every thread",
        ),
    ];
    for (name, text, expected) in table {
        assert_eq!(said(&[(name, &text)]), [expected], "{text}");
    }
}

#[test]
fn skills_and_queues_that_nothing_has_are_named() {
    let queues = "[[queue]]\nname = \"es\"\nrequired = [\"spansh\"]\n";
    let agents = "[[agent]]\nid = \"ann\"\nqueues = [\"es\"]\nskills = { spanish = 3 }\n";
    let sla = "[[policy]]\nname = \"p\"\nmatch = { queue = [\"es\", \"se\"] }\n[policy.targets]\nresolution = \"1d\"\n";
    let expected = [
        "queues.toml:3:13: no agent has the skill \"spansh\"; did you mean \"spanish\"?",
        "sla.toml:3:26: there is no queue \"se\"; did you mean \"es\"?",
    ];
    assert_eq!(said(&[("agents.toml", agents), ("queues.toml", queues), ("sla.toml", sla)]), expected);
    assert_eq!(said(&[("queues.toml", queues)]), [""; 0], "nobody works here yet");
}

#[test]
fn an_overflow_may_not_come_back_over_others() {
    let queues = "[[queue]]\nname = \"a\"\noverflow = \"b\"\n[[queue]]\nname = \"b\"\noverflow = \"c\"\n\
                  [[queue]]\nname = \"c\"\noverflow = \"b\"\n";
    let expected = [
        "queues.toml:6:12: queue b overflows into itself by c",
        "queues.toml:9:12: queue c overflows into itself by b",
    ];
    assert_eq!(said(&[("queues.toml", queues)]), expected);
}

#[test]
fn agents_queues_and_kinds_are_taken() {
    let queues = "[[queue]]\nname = \"es\"\nrequired = [\"spanish\"]\nskills = [{ name = \"billing\", level = 7, \
                  relax = [{ after = \"60s\", level = 5 }] }]\nlast_step = \"any_in_queue\"\nlast_step_after = \"2m\"\n\
                  [[queue]]\nname = \"all\"\norder = \"due\"\nstrategy = \"best_skill\"\noverflow = \"es\"\n\
                  overflow_after = \"5m\"\n[[route]]\nvisibility = \"private\"\nband = \"crisis\"\nqueue = \"es\"\n";
    let agents = "[[agent]]\nid = \"ann\"\ntotal = 60\nqueues = [\"all\", { name = \"es\", priority = 2, delay = \"30s\" }]\n\
                  skills = { spanish = 3 }\nmax = { email = 2 }\n";
    let routing = "[[kind]]\nname = \"email\"\nwrap_up = \"manual\"\n[[kind]]\nname = \"sms\"\nchannels = [\"sms\"]\n\
                   beside = [\"email\"]\nreply_window = \"1d\"\n";
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = [file("agents.toml", agents), file("queues.toml", queues), file("routing.toml", routing)];
    let policy = check(&files).unwrap().routing;
    let names: Vec<&str> = policy.queues.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(names, ["es", "all"]);
    assert_eq!(policy.queues[0].skills[0].relaxations[0].after_ms, 60_000);
    assert_eq!((policy.queues[0].last_step_after_ms, policy.queues[1].overflow_after_ms), (120_000, 300_000));
    let memberships: Vec<_> = policy.agents[0].memberships.iter().map(|m| (m.priority, m.delay_ms)).collect();
    assert_eq!((memberships, policy.agents[0].total), (vec![(1, 0), (2, 30_000)], 60));
    let kinds: Vec<_> = policy.kinds.iter().map(|kind| (kind.name.as_str(), kind.cost, kind.wrap_up_ms)).collect();
    assert_eq!(kinds[4..], [("email", 10, -1), ("sms", 10, 0)]);
}

#[test]
fn a_target_that_its_calendar_reaches_in_no_century_is_a_problem() {
    let calendar = "[[calendar]]\nname = \"min\"\ntime_zone = \"UTC\"\nhours = { mon = [\"00:00-00:01\"] }\n";
    let files = |within: &str| {
        let policy = format!(
            "[[policy]]\nname = \"p\"\n[policy.targets]\nfirst_response = {{ within = \"{within}\", calendar = \"min\" }}\n"
        );
        [("calendars.toml".to_owned(), calendar.to_owned()), ("sla.toml".to_owned(), policy)]
    };
    assert!(check(&files("60m")).is_ok());
    let problems: Vec<String> = check(&files("4d")).unwrap_err().iter().map(ToString::to_string).collect();
    let what = "first_response is not due within a century: calendar \"min\" has 1 minutes of work a week";
    assert_eq!(problems, [format!("sla.toml:4:29: {what}")]);
}
