//! Colours that colour-blind people can tell apart, and a letter as the second cue.

/// The palette of Okabe and Ito (Color Universal Design, 2008), without its black, which vanishes on a dark slice: orange, sky
/// blue, bluish green, yellow, blue, vermilion, reddish purple, and a grey in its place.
const OKABE_ITO: [[u8; 3]; 8] =
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167], [153, 153, 153]];

/// The sRGB colour that the class at `index` gets unless the user chooses another; repeats after eight.
pub fn default_colour(index: usize) -> [u8; 3] {
    OKABE_ITO[index % OKABE_ITO.len()]
}

/// The letter drawn beside markers of the class at `index`: `A` to `Z`, then `a` to `z`, then again from `A`.
pub fn cue(index: usize) -> char {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char::from(LETTERS[index % LETTERS.len()])
}
