//! What is remembered of calls, and for how long; the calls themselves are in `tests/repeating.rs`.

use super::*;

fn call(owner: &str, key: u32, body: &str) -> Marked {
    Marked {
        owner: owner.into(),
        name: blake3::hash(&key.to_be_bytes()),
        content: blake3::hash(body.as_bytes()),
    }
}

fn answer(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

/// Carries a call out.
fn done(remembered: &mut Remembered, call: &Marked, said: &str, now: Instant) {
    let Begun::Anew(place) = remembered.begin(call, now) else { panic!("it is new") };
    remembered.end(call, place, answer(said));
}

#[test]
fn a_call_under_its_key_is_carried_out_once() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    let Begun::Anew(place) = remembered.begin(&call("a", 1, "x"), now) else { panic!("it is new") };
    assert_eq!(remembered.begin(&call("a", 1, "x"), now), Begun::UnderWay);
    assert_eq!(remembered.begin(&call("a", 1, "y"), now), Begun::Another, "also while it is under way");
    remembered.end(&call("a", 1, "x"), place, answer("said"));
    assert_eq!(remembered.begin(&call("a", 1, "x"), now), Begun::Again(answer("said").unwrap()));
    assert_eq!(remembered.begin(&call("a", 1, "y"), now), Begun::Another);
    assert!(matches!(remembered.begin(&call("b", 1, "y"), now), Begun::Anew(_)), "another's key");
}

#[test]
fn a_call_that_was_refused_leaves_its_key_free() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    let Begun::Anew(place) = remembered.begin(&call("a", 1, "x"), now) else { panic!("it is new") };
    remembered.end(&call("a", 1, "x"), place, None);
    assert!(matches!(remembered.begin(&call("a", 1, "y"), now), Begun::Anew(_)));
    // The end of the first one, told twice, is not the end of the second.
    remembered.end(&call("a", 1, "x"), place, None);
    assert_eq!(remembered.begin(&call("a", 1, "y"), now), Begun::UnderWay);
}

#[test]
fn after_a_day_a_key_is_forgotten() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    done(&mut remembered, &call("a", 1, "x"), "said", now);
    let later = |hours: u64| now + Duration::from_secs(hours * 3_600);
    assert_eq!(remembered.begin(&call("a", 1, "x"), later(23)), Begun::Again(answer("said").unwrap()));
    assert!(matches!(remembered.begin(&call("b", 1, "x"), later(25)), Begun::Anew(_)));
    assert_eq!((remembered.keys, remembered.bytes), (1, 0), "also of whoever does not call again");
}

/// Guarantees: memory is bounded, in keys and bytes, of one owner and of all; what goes is the oldest of whoever has most, so
/// that nobody's flood makes another's keys forgotten.
/// Fails when: a bound is not looked at, or the oldest of all goes first.
#[test]
fn what_is_remembered_is_bounded_and_nobody_pushes_others_out() {
    let bounds = Bounds { owner_keys: 6, keys: 8, bytes: 100, age: Duration::from_secs(60) };
    let (mut remembered, now) = (Remembered::within(bounds), Instant::now());
    done(&mut remembered, &call("quiet", 0, "x"), "said", now);
    for key in 0..50 {
        done(&mut remembered, &call("loud", key, "x"), "said", now);
        assert!(remembered.owners["loud"].keys.len() <= 6);
    }
    for key in 0..5 {
        done(&mut remembered, &call("third", key, "x"), "said", now);
        assert!(remembered.keys <= 8);
    }
    done(&mut remembered, &call("third", 9, "x"), &"long".repeat(24), now);
    assert!(remembered.bytes <= 100, "{}", remembered.bytes);
    assert_eq!(remembered.begin(&call("quiet", 0, "x"), now), Begun::Again(answer("said").unwrap()));
    assert!(matches!(remembered.begin(&call("loud", 0, "x"), now), Begun::Anew(_)), "its oldest went");
}

/// Guarantees: counts and order agree with what is there, whatever happens in whatever order.
#[test]
fn the_books_of_what_is_remembered_close() {
    let bounds = Bounds { owner_keys: 5, keys: 9, bytes: 40, age: Duration::from_secs(60) };
    let (mut remembered, mut now) = (Remembered::within(bounds), Instant::now());
    let mut state = 7_u32;
    let mut dice = |sides| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % sides
    };
    let mut open: Vec<(Marked, u64)> = Vec::new();
    for _ in 0..5_000 {
        now += Duration::from_secs(u64::from(dice(3)));
        let call = call(["a", "b", "c"][dice(3) as usize], dice(12), "x");
        if let Begun::Anew(place) = remembered.begin(&call, now) {
            open.push((call, place));
        }
        if dice(2) == 0 && !open.is_empty() {
            let (call, place) = open.swap_remove(dice(u32::try_from(open.len()).unwrap()) as usize);
            let said = (dice(3) > 0).then(|| Bytes::from(vec![b'x'; dice(20) as usize]));
            remembered.end(&call, place, said);
        }
        let all = || remembered.owners.values();
        assert_eq!(all().map(|of| of.keys.len()).sum::<usize>(), remembered.keys);
        assert!(all().all(|of| of.order.len() == of.keys.len() && !of.keys.is_empty()));
        let bytes: usize =
            all().flat_map(|of| of.keys.values()).filter_map(|k| k.answer.as_ref()).map(Bytes::len).sum();
        assert_eq!(bytes, remembered.bytes);
        assert!(remembered.keys <= 9 && remembered.bytes <= 40);
    }
}
