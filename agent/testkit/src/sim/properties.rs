//! What must hold in every history, and who is blamed for one fault.

use e3_core::session::{Checkpoint, Failure, Reason};
use proptest::prelude::*;

use super::{Difference, Fault, Plan, Report, run};

/// Any fault of party `party` alone for which everybody can tell whose it is.
fn fault_of(party: usize) -> impl Strategy<Value = Fault> {
    let difference = prop::sample::select(&Difference::ALL[..]);
    let died = (1_usize..16, 0_usize..4, prop::option::of(0_u64..40_000));
    prop_oneof![
        Just(Fault::Refuses { party }),
        Just(Fault::CannotStage { party }),
        Just(Fault::StagesForEver { party }),
        Just(Fault::CannotStartGate { party }),
        Just(Fault::EndsAtGate { party }),
        difference.prop_map(move |what| Fault::Differs {
            party,
            what,
            unaware: false
        }),
        (1..256).prop_map(move |code| Fault::Exits { party, code }),
        Just(Fault::Killed { party }),
        Just(Fault::NeverStartsMpyc { party }),
        // Nobody dials the first party: then it is the same as nothing.
        Just(Fault::Unreachable { party }),
        (0_u64..2500).prop_map(move |at_ms| Fault::Stopped { party, at_ms }),
        died.prop_map(move |(step, actions, back_ms)| Fault::AgentDies {
            party,
            step,
            actions,
            back_ms
        }),
    ]
}

/// Any fault at all.
fn fault(parties: usize) -> impl Strategy<Value = Fault> {
    let party = || 0..parties;
    let difference = prop::sample::select(&Difference::ALL[..]);
    let link = (party(), 0_u64..4000, prop::option::of(0_u64..30_000));
    prop_oneof![
        6 => party().prop_flat_map(fault_of),
        // Never all of them: parties that all differ in the same way do not differ.
        1 => difference.prop_map(move |what| Fault::Differs { party: 0, what, unaware: parties > 1 }),
        1 => (party(), party()).prop_map(|(from, to)| Fault::CannotDial { from, to }),
        1 => party().prop_map(|party| Fault::Hangs { party }),
        1 => party().prop_map(|party| Fault::OutputDiffers { party }),
        2 => link.prop_map(move |(a, at_ms, for_ms)| Fault::LinkCut { a, b: (a + 1) % parties, at_ms, for_ms }),
    ]
}

fn plan(parties: usize) -> impl Strategy<Value = Plan> {
    let chances = (any::<u64>(), 0_u64..150, 0_u64..3000, 0_u64..1500);
    (chances, any::<[bool; 3]>()).prop_map(
        move |((seed, latency, fetched, work), [connect, outlive, lose])| Plan {
            seed,
            latency_ms: 0..=latency,
            fetched_ms: 0..=fetched,
            work_ms: 0..=work,
            programs_connect: connect,
            programs_outlive_agents: outlive,
            deaths_lose_messages: lose,
            ..Plan::new(parties)
        },
    )
}

fn with_faults(plan: impl Strategy<Value = Plan>, count: usize) -> impl Strategy<Value = Plan> {
    plan.prop_flat_map(move |plan| {
        let faults = prop::collection::vec(fault(plan.parties), 0..=count);
        (Just(plan), faults)
    })
    .prop_map(|(plan, faults)| Plan { faults, ..plan })
}

fn is_sound(report: &Report) -> Result<(), TestCaseError> {
    prop_assert!(
        report.violations.is_empty(),
        "{:#?}\n{}",
        report.violations,
        report.history()
    );
    Ok(())
}

proptest! {
    #[test]
    fn without_faults_every_party_runs_once_and_is_done(plan in (1_usize..6).prop_flat_map(plan)) {
        let report = run(&plan);
        is_sound(&report)?;
        prop_assert!(report.is_done(), "{}", report.history());
        prop_assert!(report.parties.iter().all(|party| party.opened == 1));
    }

    /// Never twice, never without everybody's equal proof, never again after a commitment, never
    /// without an end, never done with different barriers: see [`super::Report::violations`].
    #[test]
    fn no_history_breaks_an_invariant(plan in with_faults((1_usize..6).prop_flat_map(plan), 4)) {
        is_sound(&run(&plan))?;
    }

    #[test]
    fn one_fault_is_blamed_on_its_party_by_everybody(
        plan in (2_usize..6)
            .prop_flat_map(|parties| (plan(parties), (0..parties).prop_flat_map(fault_of)))
            .prop_map(|(plan, fault)| plan.with(fault)),
    ) {
        let report = run(&plan);
        is_sound(&report)?;
        let guilty = guilty(&plan.faults[0]);
        for failure in report.failures().flatten() {
            prop_assert_eq!(failure.party, guilty, "{}\n{}", failure, report.history());
        }
        // Only an agent that dies can leave the others unhurt, and only a stop can come too late.
        let harmless = match plan.faults[0] {
            Fault::AgentDies { .. } | Fault::Stopped { .. } => true,
            Fault::NeverStartsMpyc { .. } => !plan.programs_connect,
            Fault::Unreachable { party } => party == 0 || !plan.programs_connect,
            _ => false,
        };
        if !harmless {
            prop_assert!(report.failures().all(|failure| failure.is_some()), "{}", report.history());
        }
    }

    #[test]
    fn a_party_that_differs_never_lets_anybody_open(
        plan in (2_usize..6).prop_flat_map(plan),
        at in any::<prop::sample::Index>(),
        what in prop::sample::select(&Difference::ALL[..]),
        unaware in any::<bool>(),
    ) {
        let party = at.index(plan.parties);
        let report = run(&plan.with(Fault::Differs { party, what, unaware }));
        is_sound(&report)?;
        prop_assert!(!report.anybody_opened());
        prop_assert!(report.failures().all(|failure| failure.is_some()));
    }
}

const fn guilty(fault: &Fault) -> usize {
    match fault {
        Fault::Refuses { party }
        | Fault::CannotStage { party }
        | Fault::StagesForEver { party }
        | Fault::CannotStartGate { party }
        | Fault::Differs { party, .. }
        | Fault::EndsAtGate { party }
        | Fault::NeverStartsMpyc { party }
        | Fault::Unreachable { party }
        | Fault::CannotDial { to: party, .. }
        | Fault::Exits { party, .. }
        | Fault::Killed { party }
        | Fault::Hangs { party }
        | Fault::OutputDiffers { party }
        | Fault::Stopped { party, .. }
        | Fault::AgentDies { party, .. }
        | Fault::LinkCut { a: party, .. } => *party,
    }
}

#[test]
fn an_agent_that_dies_anywhere_resumes_or_fails_and_is_named() {
    let mut died = 0;
    for (party, step) in (0..3).flat_map(|party| (1..14).map(move |step| (party, step))) {
        for (actions, back_ms) in
            (0..4).flat_map(|n| [None, Some(5), Some(30_000)].map(|back| (n, back)))
        {
            let plan = Plan::new(3).seeded(step as u64).with(Fault::AgentDies {
                party,
                step,
                actions,
                back_ms,
            });
            let report = run(&plan);
            let here = || format!("{plan:?}\n{}", report.history());
            assert!(
                report.violations.is_empty(),
                "{:?}\n{}",
                report.violations,
                here()
            );
            assert!(
                report
                    .failures()
                    .flatten()
                    .all(|failure| failure.party == party),
                "{}",
                here()
            );
            assert_eq!(
                report.parties[party].alive,
                back_ms.is_some() || !report.history().contains("dies")
            );
            died += usize::from(report.history().contains("the agent dies"));
        }
    }
    assert!(died > 300, "only {died} agents died");
}

#[test]
fn a_party_that_dies_with_its_last_word_under_way_says_it_again_and_everybody_is_done() {
    let (mut again, mut for_ever) = (0, 0);
    for (seed, step) in (0..30).flat_map(|seed| (12..24).map(move |step| (seed, step))) {
        let party = step % 3;
        for (actions, back_ms) in [(0, Some(5000)), (1, Some(5000)), (1, None)] {
            let death = Fault::AgentDies {
                party,
                step,
                actions,
                back_ms,
            };
            let plan = Plan {
                deaths_lose_messages: true,
                ..Plan::new(3).seeded(seed).with(death)
            };
            let report = run(&plan);
            assert_eq!(report.violations, Vec::<String>::new());
            let is_done = matches!(
                report.parties[party].checkpoint,
                Some(Checkpoint::Done { .. })
            );
            if !report.history().contains("the agent dies") || !is_done {
                continue;
            }
            if back_ms.is_some() {
                assert!(report.is_done(), "{}", report.history());
                again += usize::from(report.history().contains(&format!("party {party} is lost")));
            } else {
                // Whoever has not heard it waits for a while, and then names it.
                let lost = Failure::at(party, Reason::Lost);
                let said = report.failures().flatten();
                for_ever += said.inspect(|said| assert_eq!(**said, lost)).count();
            }
        }
    }
    assert!(again > 20 && for_ever > 20, "only {again} and {for_ever}");
}

#[test]
fn an_agent_that_dies_before_it_is_armed_and_comes_back_loses_nothing() {
    for step in 1..4 {
        let report = run(&Plan::new(3).with(Fault::AgentDies {
            party: 1,
            step,
            actions: 1,
            back_ms: Some(50),
        }));
        assert!(report.is_done(), "{}", report.history());
    }
}

#[test]
fn a_party_that_is_ready_at_the_last_moment_is_never_another_ones_fault() {
    let mut late = 0;
    for (seed, back) in (0..6).flat_map(|seed| (0..75).map(move |back| (seed, back))) {
        let plan = Plan {
            latency_ms: 0..=60,
            work_ms: 0..=100,
            ..Plan::new(3).seeded(seed)
        };
        let report = run(&plan.with(Fault::AgentDies {
            party: 2,
            step: 3,
            actions: 0,
            back_ms: Some(19_300 + 10 * back),
        }));
        is_sound(&report).unwrap();
        for failure in report.failures().flatten() {
            assert_eq!(failure.party, 2, "{}", report.history());
            late += 1;
        }
    }
    assert!(late > 20, "only {late}");
}

#[test]
fn a_program_that_hangs_ends_at_the_deadline() {
    let report = run(&Plan::new(3).with(Fault::Hangs { party: 1 }));
    assert!(report.violations.is_empty());
    // Whom the others wait for is not known, so no more is said than that nobody has ended.
    let reason = Reason::TimedOut {
        seconds: 60,
        others: vec![1, 2],
    };
    same_everywhere(&report, &Failure::at(0, reason));
}

/// Every party says exactly this.
fn same_everywhere(report: &Report, failure: &Failure) {
    for said in report.failures() {
        assert_eq!(said, Some(failure), "{}", report.history());
    }
}

#[test]
fn when_mpyc_does_not_connect_every_party_names_the_same_and_right_culprit() {
    let not_connected = |party, pairs: &[(usize, usize)], detail: &str| {
        let reason = Reason::NotConnected {
            seconds: 10,
            pairs: pairs.to_vec(),
            detail: detail.to_owned(),
        };
        Failure::at(party, reason)
    };
    let not_started = |party, others: &[usize]| {
        let others = others.to_vec();
        let seconds = 10;
        Failure::at(party, Reason::NotStarted { seconds, others })
    };
    let refused = "ConnectionRefusedError";
    let idle = |party| Fault::NeverStartsMpyc { party };
    let deaf = |party| Fault::Unreachable { party };
    let pair = |from, to| Fault::CannotDial { from, to };
    let cases = [
        (vec![idle(2)], not_started(2, &[])),
        (vec![idle(3), idle(1)], not_started(1, &[3])),
        (vec![deaf(2)], not_connected(2, &[(0, 2), (1, 2)], refused)),
        (vec![deaf(1)], not_connected(1, &[(0, 1)], refused)),
        (vec![pair(1, 3)], not_connected(3, &[(1, 3)], refused)),
        // Party 1 can neither be dialled nor dial.
        (
            vec![deaf(1), pair(1, 2)],
            not_connected(1, &[(0, 1), (1, 2)], refused),
        ),
        // Who has not started explains the rest.
        (vec![deaf(1), idle(3)], not_started(3, &[])),
    ];
    for (faults, expected) in cases {
        for seed in 0..20 {
            let plan = Plan {
                faults: faults.clone(),
                ..Plan::new(4).seeded(seed)
            };
            let report = run(&plan);
            assert_eq!(report.violations, Vec::<String>::new());
            same_everywhere(&report, &expected);
        }
    }
}

proptest! {
    #[test]
    fn of_a_pair_that_cannot_connect_everybody_names_the_one_that_is_dialled(
        plan in (2_usize..6).prop_flat_map(plan),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let to = 1 + to.index(plan.parties - 1);
        let from = from.index(to);
        let plan = Plan { programs_connect: true, ..plan };
        let report = run(&plan.with(Fault::CannotDial { from, to }));
        is_sound(&report)?;
        for failure in report.failures() {
            let Some(Failure { party, reason: Reason::NotConnected { pairs, .. } }) = failure else {
                panic!("{failure:?}\n{}", report.history())
            };
            prop_assert_eq!((*party, &pairs[..]), (to, &[(from, to)][..]), "{}", report.history());
        }
    }
}

#[test]
fn an_output_that_differs_is_blamed_on_the_odd_one_out() {
    let report = run(&Plan::new(3).with(Fault::OutputDiffers { party: 1 }));
    let kinds: Vec<_> = report
        .failures()
        .flatten()
        .map(|f| (f.party, f.reason.kind()))
        .collect();
    assert_eq!(kinds, vec![(1, "output-differs".to_owned()); 3]);
}

#[test]
fn agents_that_were_all_restarted_name_the_same_one() {
    for seed in 0..50 {
        // Each dies as soon as it is committed, and they come back one after the other.
        let died = |party| Fault::AgentDies {
            party,
            step: 9,
            actions: 9,
            back_ms: Some(500 + (seed * 7 + party as u64 * 900) % 2000),
        };
        let plan = Plan::new(3)
            .seeded(seed)
            .with(died(0))
            .with(died(1))
            .with(died(2));
        let report = run(&plan);
        assert_eq!(report.violations, Vec::<String>::new());
        let said: Vec<_> = report.failures().flatten().collect();
        assert!(
            said.windows(2).all(|two| two[0] == two[1]),
            "{}",
            report.history()
        );
    }
}

#[test]
fn the_same_plan_gives_the_same_history() {
    let plan = Plan::new(4).seeded(7).with(Fault::Killed { party: 2 });
    assert_eq!(run(&plan).history(), run(&plan).history());
    assert_ne!(run(&plan).history(), run(&plan.clone().seeded(8)).history());
}
