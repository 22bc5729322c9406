//! A rotation that is killed, as by `kill -9`, at each of its steps and between any two of its writes: what is pushed
//! decrypts with what Flux has at every moment, and the next run finishes.
//!
//! A sample of the places by default; all of them with `KUBIYA_FAILPOINTS=all` (`scripts/failpoints`).

use crate::rotation::{ENCRYPTED, Rotated};
use std::process::Output;

/// How many places are tried where not all are.
const SAMPLE: usize = 4;

#[test]
fn a_rotation_that_is_killed_anywhere_is_finished_by_the_next_run() {
    let world = Rotated::new();
    let places = world.places(|world| world.rotate_with(usize::MAX, &world.next_key()));
    // The run that counted the places has made its key the one at hand.
    world.accept(&world.last_key());
    for number in chosen(&places) {
        let key = world.next_key();
        let output = world.rotate_with(number, &key);
        let place = format!("{number} {}", places[number - 1]);
        assert!(output.status.code().is_none(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
        world.said(output);
        world.check_pushed(&place);
        world.finish(&key, &["--retire-after", "0s", "--drop-old"]);
        world.accept(&key);
        world.check_over(&key);
        println!("killed at {place}: finished by the next run");
    }
}

#[test]
fn giving_up_that_is_killed_anywhere_is_finished_by_the_next_run() {
    let world = Rotated::new();
    // A rotation that has come to where both keys read everything.
    let forward = world.places(|world| world.rotate_with(usize::MAX, &world.next_key()));
    world.accept(&world.last_key());
    let steps = forward.iter().enumerate().filter(|(_, place)| *place == "before files are put in place");
    let halfway = steps.map(|(index, _)| index + 1).nth(1).unwrap();
    let begin = |world: &Rotated, key: &str| {
        let output = world.rotate_with(halfway, key);
        assert!(output.status.code().is_none(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let abort = |world: &Rotated, number: usize| world.with_failpoint(number, &["--abort"]);
    let key = world.next_key();
    begin(&world, &key);
    let places = world.places(|world| abort(world, usize::MAX));
    for place in chosen(&places) {
        let key = world.next_key();
        begin(&world, &key);
        let output = abort(&world, place);
        assert!(output.status.code().is_none(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
        world.check_pushed(&format!("{place} {}", places[place - 1]));
        let said = world.rotate(&["--abort"]);
        // Where the last write was made already, nothing is left to be given up.
        assert!(
            said.code == 0 || said.stderr.contains("no rotation is under way"),
            "{place}: {}",
            said.stderr
        );
        world.check_over(&world.key_at_hand());
        println!("killed at {place} {} of giving up: finished by the next run", places[place - 1]);
    }
}

/// All places, or some that lie as far apart as can be.
fn chosen(places: &[String]) -> Vec<usize> {
    let count = places.len();
    assert!(count > SAMPLE, "{places:?}");
    if std::env::var("KUBIYA_FAILPOINTS").is_ok_and(|text| text == "all") {
        return (1..=count).collect();
    }
    (0..SAMPLE).map(|index| 1 + index * (count - 1) / (SAMPLE - 1)).collect()
}

impl Rotated {
    fn rotate_with(&self, number: usize, key: &str) -> Output {
        self.with_failpoint(number, &["--store-key", key, "--retire-after", "0s", "--drop-old"])
    }

    fn with_failpoint(&self, number: usize, words: &[&str]) -> Output {
        let mut command = self.rotate_command(words);
        command.env("KUBIYA_FAILPOINT", number.to_string());
        command.env("KUBIYA_FAILPOINT_LOG", self.world.path("places"));
        command.output().unwrap()
    }

    /// The places that a run passes which is not killed.
    fn places(&self, run: impl Fn(&Self) -> Output) -> Vec<String> {
        let _ = std::fs::remove_file(self.world.path("places"));
        let output = run(self);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(self.world.path("places")).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// Finishes a rotation to a key, wherever it was killed.
    fn finish(&self, key: &str, more: &[&str]) {
        let said = self.rotate(&[&["--continue"], more].concat());
        if said.code == 0 {
            return;
        }
        // Before anything was written down it has not begun; after the last write it is over.
        assert!(said.stderr.contains("no rotation is under way"), "{}", said.stderr);
        let begun = self.world.path("repo").join(key).exists();
        let flag = if begun { "--new-age-key-file" } else { "--store-key" };
        let said = self.rotate(&[&[flag, key], more].concat());
        assert!(said.code == 0 || said.stderr.contains("the new key is the old one"), "{}", said.stderr);
    }

    /// Every file of every commit that was pushed since the key at hand came opens with what Flux has.
    fn check_pushed(&self, place: &str) {
        let keys = self.flux_keys();
        let since = format!("{}..origin/main", self.accepted());
        self.world.git(&["fetch", "--quiet"]);
        let commits = self.world.git_line(&["rev-list", &since]);
        let tip = self.world.git_line(&["rev-parse", "origin/main"]);
        for commit in commits.lines().chain([tip.as_str()]) {
            for file in ENCRYPTED {
                let text = self.world.git_line(&["show", &format!("{commit}:{file}")]);
                assert!(self.sops_opens_text(&keys, &text), "{place}: {file} of {commit} does not open");
            }
        }
    }
}
