//! Pages as a browser shows them: in light and in dark, wide and as narrow as a telephone. A script that only the
//! test adds measures what overlaps or sticks out; pictures are looked at for their colours.

use super::page::Folder;
use super::{cannot, inuse};
use libtest_mimic::{Completion, Failed, Trial};
use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Output};

/// A connection with all that belongs to it, many lanes, datagrams, and a unix socket.
const SCENES: [&str; 4] = ["time-wait", "reuseport-pair", "udp", "unix-stale"];
/// A large screen, one on which the drawings stand below their sentences, and a telephone.
const WIDTHS: [u32; 3] = [1400, 1000, 380];
/// What a page has at least: paper, ink, rules, and states in their colours, with their edges smoothed.
const COLOURS: usize = 40;
/// Blink's words for it.
const SCHEMES: [(&str, u8); 2] = [("light", 1), ("dark", 0)];

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::ignorable_test("page::looks_well_in_a_browser", looks_well)]
}

/// Says of everything that is shown whether it lies over something else, or beyond its drawing.
const MEASURE: &str = r#"<script>//<![CDATA[
addEventListener('load', () => {
  const bad = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) bad.push('the page is wider than its window');
  if (document.body.innerText.length < 500) bad.push('the page says little');
  for (const svg of document.querySelectorAll('svg[role=img]')) {
    const edge = svg.getBoundingClientRect(), name = svg.querySelector('title').textContent;
    if (!edge.width) continue;
    const boxes = [...svg.querySelectorAll('text')].filter(t => t.textContent).map(t => {
      const b = t.getBoundingClientRect();
      // Between the lines of a font there is air.
      return {l: b.left, r: b.right, t: b.top + b.height * .2, b: b.bottom - b.height * .2, says: t.textContent};
    });
    boxes.forEach((a, i) => {
      if (a.l < edge.left - 1 || a.r > edge.right + 1 || a.t < edge.top - 1 || a.b > edge.bottom + 1)
        bad.push(name + ': outside: ' + a.says);
      for (const b of boxes.slice(i + 1))
        if (Math.min(a.r, b.r) - Math.max(a.l, b.l) > 1 && Math.min(a.b, b.b) - Math.max(a.t, b.t) > 1)
          bad.push(name + ': ' + a.says + ' lies over ' + b.says);
    });
  }
  parent.postMessage(location.pathname + location.search + ': ' + (bad.join('; ') || 'well'), '*');
});
//]]></script></body>"#;

fn chromium(folder: &Path, words: &[&str]) -> std::io::Result<Output> {
    let home = folder.join("browser");
    // It waits for ever for what a machine may not have, and is ended then.
    Command::new("timeout")
        .args([
            "90",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .args(words)
        .env("HOME", folder)
        .output()
}

fn looks_well() -> Result<Completion, Failed> {
    let folder = Folder::new("browser")?;
    let folder = folder.0.as_path();
    match chromium(folder, &["--version"]) {
        Ok(output) if output.status.success() => {}
        _ => return cannot("chromium is missing"),
    }
    for scene in SCENES {
        let file = folder.join(scene).with_extension("html");
        let output = inuse(&[scene, "--html"]).arg(&file).output()?;
        if output.status.code() == Some(3) {
            return cannot(String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    measured(folder)?;
    for (scene, width) in [("time-wait", 1400), ("udp", 380)] {
        let [light, dark] = SCHEMES.map(|scheme| picture(folder, scene, width, scheme));
        let (light, dark) = (light?, dark?);
        let brighter = light.brightness - dark.brightness;
        if light.colours.min(dark.colours) < COLOURS || brighter < 120.0 {
            return Err(format!("{scene}: light has {light:?}, dark has {dark:?}").into());
        }
    }
    Ok(Completion::Completed)
}

/// Every page at every width, in one run of the browser.
fn measured(folder: &Path) -> Result<(), Failed> {
    let mut frames = String::from(
        "<!DOCTYPE html><body><script>addEventListener('message', e => { const p = document.createElement('pre'); \
         p.textContent = e.data; document.body.append(p); })</script>",
    );
    for scene in SCENES {
        let page = std::fs::read_to_string(folder.join(scene).with_extension("html"))?;
        std::fs::write(folder.join(format!("{scene}-measured.html")), page.replace("</body>", MEASURE))?;
        for width in WIDTHS {
            frames.push_str(&format!(
                "<iframe width={width} height=900 src='{scene}-measured.html?{width}'></iframe>"
            ));
        }
    }
    std::fs::write(folder.join("frames.html"), frames)?;
    let frames = format!("file://{}/frames.html", folder.display());
    let output = chromium(folder, &["--virtual-time-budget=30000", "--dump-dom", &frames])?;
    let dom = String::from_utf8_lossy(&output.stdout);
    let told: Vec<&str> = dom.split("<pre>").skip(1).filter_map(|part| part.split("</pre>").next()).collect();
    let bad: Vec<&&str> = told.iter().filter(|told| !told.ends_with(": well")).collect();
    if told.len() == SCENES.len() * WIDTHS.len() && bad.is_empty() {
        return Ok(());
    }
    Err(format!("{} pages were measured: {bad:#?} {}", told.len(), String::from_utf8_lossy(&output.stderr))
        .into())
}

/// What can be said of a picture.
#[derive(Debug)]
struct Picture {
    colours: usize,
    /// The mean, from 0 to 255.
    brightness: f64,
}

fn picture(folder: &Path, scene: &str, width: u32, (name, scheme): (&str, u8)) -> Result<Picture, Failed> {
    const HEIGHT: u32 = 1800;
    let file = folder.join(format!("{scene}-{name}.png"));
    let output = chromium(
        folder,
        &[
            &format!("--blink-settings=preferredColorScheme={scheme}"),
            &format!("--window-size={width},{HEIGHT}"),
            &format!("--screenshot={}", file.display()),
            &format!("file://{}/{scene}.html", folder.display()),
        ],
    )?;
    let picture = File::open(&file);
    let picture = picture.map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let mut reader = png::Decoder::new(BufReader::new(picture)).read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("a picture without end")?];
    let info = reader.next_frame(&mut bytes)?;
    assert_eq!(
        (info.width, info.height, info.bit_depth),
        (width, HEIGHT, png::BitDepth::Eight),
        "{scene} {name}"
    );
    let samples = info.color_type.samples();
    let pixels = || bytes[..info.buffer_size()].chunks_exact(samples);
    let colours: HashSet<&[u8]> = pixels().collect();
    let sum: u64 = pixels().flat_map(|pixel| pixel.iter().take(3)).map(|byte| u64::from(*byte)).sum();
    Ok(Picture { colours: colours.len(), brightness: sum as f64 / (pixels().count() * 3) as f64 })
}
