//! Samples of any layout that the decoders give, as RGB.

/// 8-bit samples of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels as RGB; what is transparent shows
/// white.
pub(super) fn to_rgb(samples: Vec<u8>, channels: usize) -> Vec<u8> {
    match channels {
        1 => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
        2 => samples.chunks_exact(2).flat_map(|p| [on_white(p[0], p[1]); 3]).collect(),
        4 => samples.chunks_exact(4).flat_map(|p| [0, 1, 2].map(|c| on_white(p[c], p[3]))).collect(),
        _ => samples,
    }
}

/// A sample over white.
fn on_white(sample: u8, alpha: u8) -> u8 {
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    ((sample * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
