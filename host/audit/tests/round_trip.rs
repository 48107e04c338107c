//! Whatever is written is read back, from a log that verifies.

use proptest::prelude::*;
use stockade_audit::{Decision, Layer, Log, Plugin, Reader, Record, escape_for_terminal, verify};

fn text(most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..=most).prop_map(|chars| chars.into_iter().collect())
}

prop_compose! {
    fn record()(
        layer in proptest::sample::select(&Layer::ALL[..9]),
        decision in proptest::sample::select(&Decision::ALL[..]),
        plugin in proptest::option::of((text(32), text(16), text(16), text(16))),
        launch in proptest::option::of(text(16)),
        call in any::<Option<u64>>(),
        event in text(16),
        (operation, resource) in (text(32), text(1024)),
        rule in proptest::option::of((text(128), text(128))),
        (reason, next_step) in (text(256), text(256)),
        numbers in proptest::collection::vec((text(16), any::<i64>()), 0..8),
        texts in proptest::collection::vec((text(16), text(128)), 0..8),
    ) -> Record {
        let mut record = Record::new(layer, event, decision)
            .operation(operation)
            .resource(resource)
            .reason(reason)
            .next_step(next_step);
        record.plugin = plugin.map(|(name, version, digest, kind)| {
            Plugin::new(name, version, digest, kind).shared()
        });
        record.launch = launch.map(Into::into);
        record.call = call;
        if let Some((id, source)) = rule {
            record = record.rule(id, source);
        }
        for (key, value) in numbers {
            record.detail.insert(key, value);
        }
        for (key, value) in texts {
            record.detail.insert(key, value);
        }
        record
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f2_any_record_is_read_back_as_it_was_written(records in proptest::collection::vec(record(), 1..8)) {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("audit");
        let log = Log::open(&dir).unwrap();
        for record in &records {
            log.append(record).unwrap();
        }
        let head = log.close().unwrap();
        let report = verify(&dir, Some(&head)).unwrap();
        prop_assert!(report.is_sound(), "{:?}", report.findings);
        let read: Vec<_> = Reader::open(&dir).unwrap().map(|entry| entry.unwrap().record).collect();
        prop_assert_eq!(&read[1..=records.len()], &records[..]);
    }

    #[test]
    fn f2_no_text_moves_a_terminal(text in text(200)) {
        prop_assert!(escape_for_terminal(&text).chars().all(|c| !c.is_control()));
    }
}
