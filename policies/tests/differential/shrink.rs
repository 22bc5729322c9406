//! Smaller documents that still fail.

/// Takes away lines, then stretches of lines' ends, as long as it still fails.
pub(crate) fn shrink(bytes: &[u8], fails: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut best = bytes.to_vec();
    let mut tries = 400;
    let mut size = best.split(|byte| *byte == b'\n').count() / 2;
    while size > 0 {
        let mut at = 0;
        loop {
            let lines = best.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>();
            if at >= lines.len() || tries == 0 {
                break;
            }
            let end = (at + size).min(lines.len());
            let smaller = [&lines[..at], &lines[end..]].concat().concat();
            tries -= 1;
            if fails(&smaller) { best = smaller } else { at += size }
        }
        size /= 2;
    }
    best
}
