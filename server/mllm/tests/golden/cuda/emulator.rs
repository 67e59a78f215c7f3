//! A GPU that is none: the kernels' own text, compiled by the C++ compiler of this machine (`shim.h`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use half::bf16;
use libloading::{Library, Symbol};
use loupe_mllm::cuda::gpu::{Address, Arg, Gemm, Gpu, Into, Launch, Memory, Operand};
use loupe_mllm::{Error, Result};

/// What the library has to offer under the name `launch_…`, besides `gemv_…`.
const KERNELS: [&str; 31] = [
    "embed",
    "rms_norm",
    "rope_kv",
    "swiglu",
    "attend_few",
    "combine",
    "attend_causal",
    "attend_window",
    "best_of_parts",
    "choose",
    "lora_down",
    "lora_up",
    "vision_rope",
    "gelu",
    "place_rows",
    "turn_heads",
    "turn_back",
    "weigh",
    "weigh_back",
    "gate",
    "gate_back",
    "norm_back",
    "copy",
    "clear",
    "by_rows",
    "by_heads",
    "narrowed",
    "dropped",
    "add_dropped",
    "surprise",
    "surprise_back",
];

/// Most blocks of a grid, in its first direction and in the others.
const MOST_BLOCKS: [usize; 2] = [(1 << 31) - 1, 65_535];

/// Libraries by their macros.
static BUILT: Mutex<Option<HashMap<String, Arc<Library>>>> = Mutex::new(None);

/// Blocks, threads, arguments.
type Start = unsafe extern "C" fn(*const u32, u32, *const *mut c_void);

/// One that is cloned counts its memory with the other's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Emulator {
    recording: RefCell<Option<Vec<Work>>>,
    taken: Arc<Taken>,
}

/// Bytes that are taken now, and the most that were.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    now: AtomicU64,
    most: AtomicU64,
}

/// Memory of this process, aligned like the GPU's.
#[derive(Debug)]
pub(crate) struct Words {
    values: Vec<u128>,
    taken: Arc<Taken>,
}

impl Memory for Words {
    fn address(&self) -> Address {
        Address(self.values.as_ptr() as u64)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.taken.now.fetch_sub(size_of_val(self.values.as_slice()) as u64, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Work {
    Launch { library: Arc<Library>, kernel: String, grid: [usize; 3], threads: usize, args: Vec<Arg> },
    Multiply(Gemm),
}

/// Whether there is a C++ compiler to build it with; says so if there is none.
pub(crate) fn is_possible() -> bool {
    let found = Command::new("c++").arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no C++ compiler (c++) to compile the kernels with");
    }
    found
}

impl Emulator {
    fn ask(&self, work: Work) -> Result<()> {
        match &mut *self.recording.borrow_mut() {
            Some(recorded) => recorded.push(work),
            None => work.run(),
        }
        Ok(())
    }
}

impl Work {
    fn run(&self) {
        match self {
            Self::Multiply(gemm) => multiply(gemm),
            Self::Launch { library, kernel, grid, threads, args } => {
                let mut values: Vec<u64> = args.iter().map(raw).collect();
                let pointers: Vec<*mut c_void> =
                    values.iter_mut().map(|v| std::ptr::from_mut(v).cast()).collect();
                let grid = grid.map(|blocks| blocks as u32);
                // SAFETY: the library's launchers have this type, and read as many arguments as their kernels have.
                #[allow(unsafe_code)]
                unsafe {
                    let start: Symbol<Start> =
                        library.get(format!("launch_{kernel}").as_bytes()).expect(kernel);
                    start(grid.as_ptr(), *threads as u32, pointers.as_ptr());
                }
            }
        }
    }
}

fn raw(arg: &Arg) -> u64 {
    match arg {
        Arg::At(address) => address.0,
        Arg::Int(value) => u64::from(value.cast_unsigned()),
        Arg::Float(value) => u64::from(value.to_bits()),
    }
}

impl Gpu for Emulator {
    type Memory = Words;
    type Program = Arc<Library>;
    type Graph = Vec<Work>;

    fn program(&self, source: &str, defines: &[(&str, usize)]) -> Result<Arc<Library>> {
        let defines: Vec<String> = defines.iter().map(|(name, value)| format!("-D{name}={value}")).collect();
        let mut built = BUILT.lock().unwrap();
        let built = built.get_or_insert_default();
        let library = built.entry(defines.join(" ")).or_insert_with(|| Arc::new(build(source, &defines)));
        Ok(library.clone())
    }

    fn zeroed(&self, bytes: usize) -> Result<Words> {
        let values = vec![0; bytes.div_ceil(size_of::<u128>()).max(1)];
        let own = size_of_val(values.as_slice()) as u64;
        let now = self.taken.now.fetch_add(own, Ordering::Relaxed) + own;
        self.taken.most.fetch_max(now, Ordering::Relaxed);
        Ok(Words { values, taken: self.taken.clone() })
    }

    fn taken(&self) -> Result<u64> {
        Ok(self.taken.most.load(Ordering::Relaxed))
    }

    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()> {
        at_mut(to, bytes.len()).copy_from_slice(bytes);
        Ok(())
    }

    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        bytes.copy_from_slice(at_mut(from, bytes.len()));
        Ok(())
    }

    fn launch(&self, program: &Arc<Library>, launch: &Launch) -> Result<()> {
        let [x, y, z] = launch.grid;
        if launch.grid.contains(&0)
            || x > MOST_BLOCKS[0]
            || y.max(z) > MOST_BLOCKS[1]
            || launch.threads > 1024
        {
            return Err(Error::Device(format!("{launch:?} is beyond what a GPU takes")));
        }
        self.ask(Work::Launch {
            library: program.clone(),
            kernel: launch.kernel.to_owned(),
            grid: launch.grid,
            threads: launch.threads,
            args: launch.args.to_vec(),
        })
    }

    fn gemm(&self, gemm: &Gemm) -> Result<()> {
        self.ask(Work::Multiply(*gemm))
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Work>> {
        *self.recording.borrow_mut() = Some(Vec::new());
        work()?;
        Ok(self.recording.borrow_mut().take().unwrap())
    }

    fn replay(&self, graph: &Vec<Work>) -> Result<()> {
        graph.iter().for_each(Work::run);
        Ok(())
    }
}

fn build(source: &str, defines: &[String]) -> Library {
    let gemv = ["set", "add", "swiglu"]
        .into_iter()
        .flat_map(|into| (1..=8).map(move |n| format!("gemv_{into}_{n}")));
    let names = KERNELS.map(str::to_owned).into_iter().chain(gemv);
    let exported: String = names.map(|name| format!("KERNEL({name})\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let (text, library) = (folder.path().join("kernels.cc"), folder.path().join("kernels.so"));
    std::fs::write(&text, [include_str!("shim.h"), source, &exported].concat()).unwrap();
    let compiled = Command::new("c++")
        .args([
            "-std=c++17",
            "-O1",
            "-ffp-contract=off",
            "-shared",
            "-fPIC",
            "-Wall",
            "-Werror",
            "-Wno-unknown-pragmas",
        ])
        // Libraries for other heads must not share what is `__shared__` in templates.
        .args(["-fvisibility=hidden", "-fno-gnu-unique"])
        .args(defines)
        .arg("-o")
        .args([&library, &text])
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    // SAFETY: nothing runs when the library is loaded.
    #[allow(unsafe_code)]
    unsafe {
        Library::new(&library).unwrap()
    }
}

/// What cuBLAS does.
fn multiply(gemm: &Gemm) {
    let Gemm { a, b, out, sizes: [m, k, n], batch, scale, into } = *gemm;
    for nth in 0..batch {
        let a = widened(a, nth, [m, k]);
        // Columns side by side.
        let b = widened(b.turned(), nth, [n, k]);
        for (row, a) in a.chunks_exact(k).enumerate() {
            for (column, b) in b.chunks_exact(k).enumerate() {
                let sum = scale * a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                let at = nth * out.apart + row * out.stride + column;
                match into {
                    Into::Set => numbers::<f32>(out.at, at + 1)[at] = sum,
                    Into::Add => numbers::<f32>(out.at, at + 1)[at] += sum,
                    Into::SetBf16 => numbers::<bf16>(out.at, at + 1)[at] = bf16::from_f32(sum),
                }
            }
        }
    }
}

/// A matrix of a batch, row by row.
fn widened(from: Operand, nth: usize, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let [down, right] = if from.turned { [1, from.stride] } else { [from.stride, 1] };
    let last = nth * from.apart + (rows - 1) * down + (columns - 1) * right;
    let all: &[bf16] = numbers(from.at, last + 1);
    let at = |at: usize| all[nth * from.apart + at / columns * down + at % columns * right].to_f32();
    (0..rows * columns).map(at).collect()
}

fn at_mut(address: Address, bytes: usize) -> &'static mut [u8] {
    numbers(address, bytes)
}

/// Numbers in the emulator's memory.
fn numbers<T>(address: Address, count: usize) -> &'static mut [T] {
    if count == 0 {
        return &mut [];
    }
    // SAFETY: whoever asks has taken this memory from the emulator, and one thread asks at a time.
    #[allow(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts_mut(address.0 as *mut T, count)
    }
}
