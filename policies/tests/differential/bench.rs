//! Times of large files: they must grow with the size, and with nothing else.

use kubiya_policies::sops::age::Identity;
use kubiya_policies::sops::file::{File, Lock, MacCheck, Recipe, Sealing};
use kubiya_policies::sops::keys::{DataKey, WrappedKey};
use kubiya_policies::sops::recipient::{KeyGroup, Recipient};
use kubiya_policies::sops::store::{Format, StoreSettings};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Times encrypting and decrypting of files that are large in different ways.
pub(crate) fn run() {
    for count in [10_000, 20_000, 40_000] {
        measure(&format!("{count} leaves"), &leaves(count));
    }
    for count in [50_000, 100_000] {
        let text = (0..count).fold("a: x\n".to_owned(), |mut text, number| {
            let _ = writeln!(text, "# comment {number}");
            text
        });
        measure(&format!("{count} comments"), &text);
    }
    for megabytes in [2, 4] {
        measure(&format!("a value of {megabytes} MiB"), &format!("a: {}\n", "x".repeat(megabytes << 20)));
        let line = format!("  {}\n", "y".repeat(98));
        measure(
            &format!("a text of {megabytes} MiB"),
            &format!("a: |\n{}", line.repeat((megabytes << 20) / 101)),
        );
    }
    let json = (0..20_000).map(|number| format!("\"k{number}\": \"v\"")).collect::<Vec<_>>().join(", ");
    measure("20000 leaves on one line", &format!("{{{json}}}\n"));
    let deep = (0..120).fold(String::new(), |mut text, depth| {
        let _ = writeln!(text, "{:depth$}k:", "");
        text
    });
    let deep = (0..20_000).fold(deep, |mut text, number| {
        let _ = writeln!(text, "{:120}l{number}: v", "");
        text
    });
    measure("20000 leaves 120 levels deep", &deep);
}

/// Maps of 100 entries, as people write them.
fn leaves(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        if number.is_multiple_of(100) {
            let _ = writeln!(text, "map{number}:");
        }
        let _ = writeln!(text, "  key{number}: value of number {number}");
    }
    text
}

fn measure(name: &str, text: &str) {
    let recipients = vec![Recipient::Age(Identity::generate().recipient().unwrap())];
    let wrapped =
        recipients.iter().map(|recipient| WrappedKey { recipient: recipient.clone(), enc: "-".to_owned() });
    let recipe = Recipe { groups: vec![KeyGroup { recipients: recipients.clone() }], ..Recipe::default() };
    let key = DataKey::new([7; 32]);
    let lock = Lock::New(key.clone(), vec![wrapped.collect()]);
    let sealing = Sealing { recipe: &recipe, lock, before: None, now: "2026-11-21T06:00:00Z" };
    let mut count = 0_u8;
    let (encrypting, sealed) = best(|| {
        let file = File::read(text.as_bytes(), Format::Yaml, StoreSettings::default()).unwrap();
        let sealed = file.seal(&sealing, &mut |buffer| {
            count = count.wrapping_add(1);
            buffer.fill(count);
        });
        sealed.unwrap()
    });
    let (decrypting, decrypted) = best(|| {
        let file = File::read(&sealed.bytes, Format::Yaml, StoreSettings::default()).unwrap();
        file.decrypt(&key, MacCheck::Required).unwrap()
    });
    assert_eq!(decrypted.bytes.as_slice(), text.as_bytes(), "{name}");
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("{name:32} encrypt {:8.1} ms   decrypt {:8.1} ms", ms(encrypting), ms(decrypting));
}

/// The shortest of three runs.
fn best<T>(mut call: impl FnMut() -> T) -> (Duration, T) {
    let mut timed = || {
        let begin = Instant::now();
        let result = call();
        (begin.elapsed(), result)
    };
    let (mut shortest, result) = timed();
    for _ in 0..2 {
        shortest = shortest.min(timed().0);
    }
    (shortest, result)
}
