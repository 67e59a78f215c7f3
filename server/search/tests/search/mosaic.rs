//! Made-up pictures: coloured rectangles and a disc, different for each seed.

use std::io::Cursor;

use loupe_shared::pixels::Rgb8;

use super::crops::Random;

/// A picture that only this seed has.
pub(crate) fn mosaic(seed: u64, width: u32, height: u32) -> Rgb8 {
    let mut random = Random::new(seed);
    let mut colour = || [0; 3].map(|_: i32| (random.next() % 6 * 51) as u8);
    let (ground, disc) = (colour(), colour());
    let bars: Vec<([u8; 3], [f32; 4])> = (0..5)
        .map(|i| {
            let mut place = Random::new(seed * 31 + i);
            let (x, y) = (place.within(-0.2, 0.9), place.within(-0.2, 0.9));
            (colour(), [x, y, x + place.within(0.2, 0.7), y + place.within(0.2, 0.7)])
        })
        .collect();
    let mut data = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
            let inside = |[x0, y0, x1, y1]: &[f32; 4]| (*x0..*x1).contains(&u) && (*y0..*y1).contains(&v);
            let bar = bars.iter().rev().find(|(_, place)| inside(place)).map(|(colour, _)| *colour);
            let on_disc = (u - 0.5).hypot(v - 0.5) < 0.15;
            data.extend(if on_disc { disc } else { bar.unwrap_or(ground) });
        }
    }
    Rgb8::new(width, height, data).unwrap()
}

/// A picture as a PNG file.
pub(crate) fn png(picture: &Rgb8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let buffer =
        image::RgbImage::from_raw(picture.width(), picture.height(), picture.data().to_vec()).unwrap();
    buffer.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}
