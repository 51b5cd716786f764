//! A stored text in two pieces, to save memory.
//!
//! The allocator has four block sizes between two powers of two, so a text in one piece wastes up to a fifth of its
//! block: 1,037 bytes take 1,280. The first piece fills its block exactly, and the second one is short.

/// The longest text that stays in one piece, bytes: two pieces would save nothing.
const ONE_PIECE: usize = 256;

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

/// The length of the first piece: the largest block that `text` can fill, down to the start of a character.
fn cut(text: &str) -> usize {
    if text.len() <= ONE_PIECE {
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
