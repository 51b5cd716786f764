//! A text that is kept for long, in two pieces.
//!
//! Between a power of two and the next the allocator has blocks of four sizes, so a text in one piece wastes up to a
//! fifth of its block: 1,037 bytes take 1,280. The first piece fills its block, the second one is what is left.

/// Below this, two pieces save nothing.
const WORTH_IT: usize = 256;

/// See the module.
pub struct Text {
    head: Box<str>,
    tail: Box<str>,
}

impl Text {
    /// The text in one piece.
    pub fn join(&self) -> String {
        [&*self.head, &*self.tail].concat()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let (head, tail) = text.split_at(cut(text));
        Self {
            head: head.into(),
            tail: tail.into(),
        }
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        other.strip_prefix(&*self.head) == Some(&*self.tail)
    }
}

/// Where the largest block that `text` can fill ends, or the character before that.
fn cut(text: &str) -> usize {
    if text.len() <= WORTH_IT {
        return text.len();
    }
    let step = text.len().next_power_of_two() / 8;
    let mut at = text.len() - text.len() % step;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_fills_a_block() {
        for (len, head) in [
            (256, 256),
            (300, 256),
            (1024, 1024),
            (1037, 1024),
            (1279, 1024),
            (1280, 1280),
        ] {
            assert_eq!(cut(&"x".repeat(len)), head, "{len}");
        }
    }

    #[test]
    fn the_pieces_are_the_text_wherever_it_is_cut() {
        for len in 0..1300 {
            let text = format!("{}{}", "x".repeat(len % 4), "\u{1f600}".repeat(len / 4));
            let kept = Text::from(text.as_str());
            assert_eq!(kept.join(), text);
            assert!(kept == *text && kept != *format!("{text}x") && kept != *"y");
        }
    }
}
