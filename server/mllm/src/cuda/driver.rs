//! The GPU itself: CUDA's driver, its run-time compiler and cuBLAS, all looked for when they are first needed.

// Every call into the driver is unsafe by its signature; SAFETY notes say what makes each one sound.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cudarc::cublas::sys::{cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType};
use cudarc::cublas::{CudaBlas, result as blas, sys as blas_sys};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, LaunchConfig, PushKernelArg,
    result, sys,
};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};

use super::gpu::{Address, Arg, Gemm, Gpu, Into, Launch, Memory, Operand};
use crate::error::{Error, Result};

/// Memory that cuBLAS may use, as NVIDIA advises for its Hopper GPUs. Recorded products need one that stays.
const WORKSPACE: usize = 32 << 20;
/// The oldest compute capability with tensor cores for bf16.
const OLDEST: i32 = 8;
/// Bytes that are copied to find how fast memory is, and how often.
const COPY_BYTES: usize = 1 << 30;
const COPIES: usize = 20;

/// A GPU with a stream of its own.
pub struct Driver {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    blas: CudaBlas,
    /// Kept while cuBLAS lives.
    _workspace: Held,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Driver").field("ordinal", &self.context.ordinal()).finish_non_exhaustive()
    }
}

/// Memory of the driver's pool.
#[derive(Debug)]
pub struct Held {
    stream: Arc<CudaStream>,
    address: sys::CUdeviceptr,
}

impl Memory for Held {
    fn address(&self) -> Address {
        Address(self.address)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let context = self.stream.context();
        let bound = context.bind_to_thread();
        // SAFETY: the address came from the same stream's pool, and whatever was asked to use it comes before this.
        let freed = unsafe { result::free_async(self.address, self.stream.cu_stream()) };
        context.record_err(bound.and(freed));
    }
}

/// A compiled program.
#[derive(Debug)]
pub struct Module {
    module: Arc<CudaModule>,
    /// Its kernels that have been asked for.
    kernels: Mutex<HashMap<String, CudaFunction>>,
}

impl Module {
    fn kernel(&self, name: &str) -> Result<CudaFunction> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = kernels.get(name) {
            return Ok(kernel.clone());
        }
        let kernel = self.module.load_function(name).map_err(failed)?;
        kernels.insert(name.to_owned(), kernel.clone());
        Ok(kernel)
    }
}

/// Recorded work.
pub struct Recorded(CudaGraph);

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Recorded")
    }
}

// SAFETY: a graph is only used by whoever holds the driver, one thread at a time, and binds the context itself.
unsafe impl Send for Recorded {}

impl Driver {
    /// The GPU of that number.
    ///
    /// # Errors
    /// Names the library that is missing, or says what the driver says.
    pub fn open(number: usize) -> Result<Self> {
        libraries()?;
        let context = CudaContext::new(number)
            .map_err(|error| Error::Device(format!("there is no GPU {number} for CUDA's driver: {error}")))?;
        let (major, minor) = context.compute_capability().map_err(failed)?;
        if major < OLDEST {
            return Err(failed(format!(
                "GPU {number} has compute capability {major}.{minor}; the kernels need {OLDEST}.0, that of the A100"
            )));
        }
        // SAFETY: everything is allocated, used and freed on one stream, whose order is all that is needed.
        unsafe { context.disable_event_tracking() };
        keep_freed_memory(&context)?;
        let stream = context.new_stream().map_err(failed)?;
        let blas = CudaBlas::new(stream.clone()).map_err(failed)?;
        let workspace = take(&stream, WORKSPACE)?;
        // SAFETY: the workspace lives as long as the handle, which is dropped before it.
        let set = unsafe {
            blas_sys::cublasSetWorkspace_v2(*blas.handle(), workspace.address as *mut c_void, WORKSPACE)
        };
        set.result().map_err(failed)?;
        Ok(Self { context, stream, blas, _workspace: workspace })
    }

    /// Bytes per second that the GPU reads from its memory while it copies within it.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn read_limit(&self) -> Result<f64> {
        let (from, to) = (self.zeroed(COPY_BYTES)?, self.zeroed(COPY_BYTES)?);
        self.stream.synchronize().map_err(failed)?;
        let started = Instant::now();
        for _ in 0..COPIES {
            // SAFETY: both are COPY_BYTES long.
            unsafe {
                result::memcpy_dtod_async(to.address, from.address, COPY_BYTES, self.stream.cu_stream())
            }
            .map_err(failed)?;
        }
        self.stream.synchronize().map_err(failed)?;
        // What is copied is read and written.
        Ok((2 * COPY_BYTES * COPIES) as f64 / started.elapsed().as_secs_f64())
    }

    fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(failed)
    }
}

impl Gpu for Driver {
    type Memory = Held;
    type Program = Module;
    type Graph = Recorded;

    fn program(&self, source: &str, defines: &[(&str, usize)]) -> Result<Module> {
        let capability = self.context.compute_capability().map_err(failed)?;
        let ptx = compile(source, defines, capability)?;
        let module = self.context.load_module(ptx).map_err(failed)?;
        Ok(Module { module, kernels: Mutex::default() })
    }

    fn zeroed(&self, bytes: usize) -> Result<Held> {
        self.bind()?;
        let held = take(&self.stream, bytes.max(1))?;
        // SAFETY: the memory is that long.
        unsafe { result::memset_d8_async(held.address, 0, bytes.max(1), self.stream.cu_stream()) }
            .map_err(failed)?;
        Ok(held)
    }

    fn taken(&self) -> Result<u64> {
        self.bind()?;
        let (free, all) = result::mem_get_info().map_err(failed)?;
        // What was freed is kept for what comes, and counts as taken.
        Ok((all - free) as u64)
    }

    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: whoever asks owns that memory; the bytes are not pinned, so the driver has taken them on return.
        unsafe { result::memcpy_htod_async(to.0, bytes, self.stream.cu_stream()) }.map_err(failed)
    }

    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: as for uploads; the stream is waited for before the bytes are looked at.
        unsafe { result::memcpy_dtoh_async(bytes, from.0, self.stream.cu_stream()) }.map_err(failed)?;
        self.stream.synchronize().map_err(failed)
    }

    fn launch(&self, program: &Module, launch: &Launch) -> Result<()> {
        let kernel = program.kernel(launch.kernel)?;
        let [x, y, z] = launch.grid.map(|blocks| blocks as u32);
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (launch.threads as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut builder = self.stream.launch_builder(&kernel);
        for arg in launch.args {
            match arg {
                Arg::At(address) => builder.arg(&address.0),
                Arg::Int(value) => builder.arg(value),
                Arg::Float(value) => builder.arg(value),
            };
        }
        // SAFETY: `kernels` gives each kernel the arguments of its signature; the tests run all of them.
        unsafe { builder.launch(config) }.map_err(|error| failed(format!("{}: {error}", launch.kernel)))?;
        Ok(())
    }

    fn gemm(&self, gemm: &Gemm) -> Result<()> {
        self.bind()?;
        let Gemm { a, b, out, sizes, batch, scale, into } = *gemm;
        let [m, k, n] = sizes.map(|size| size as i32);
        let kind = if into == Into::SetBf16 { cudaDataType::CUDA_R_16BF } else { cudaDataType::CUDA_R_32F };
        let beta = if into == Into::Add { 1f32 } else { 0f32 };
        // cuBLAS counts by columns: it is given our rows as columns, and asked for the product turned.
        let turn = |operand: Operand| match operand.turned {
            true => cublasOperation_t::CUBLAS_OP_T,
            false => cublasOperation_t::CUBLAS_OP_N,
        };
        let pointer = |operand: Operand| operand.at.0 as *mut c_void;
        let stride = |operand: Operand| operand.stride as i32;
        let (handle, alpha, beta) =
            (*self.blas.handle(), std::ptr::from_ref(&scale).cast(), std::ptr::from_ref(&beta).cast());
        let narrow = cudaDataType::CUDA_R_16BF;
        let (sums, choice) =
            (cublasComputeType_t::CUBLAS_COMPUTE_32F, cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP);
        let ([first, second], [by, to, into]) = ([turn(b), turn(a)], [pointer(b), pointer(a), pointer(out)]);
        let [by_stride, to_stride, into_stride] = [stride(b), stride(a), stride(out)];
        // SAFETY: whoever asks owns memory of these shapes.
        let multiplied = unsafe {
            if batch == 1 {
                blas::gemm_ex(
                    handle,
                    first,
                    second,
                    n,
                    m,
                    k,
                    alpha,
                    by,
                    narrow,
                    by_stride,
                    to,
                    narrow,
                    to_stride,
                    beta,
                    into,
                    kind,
                    into_stride,
                    sums,
                    choice,
                )
            } else {
                let [by_apart, to_apart, into_apart] = [b, a, out].map(|operand| operand.apart as i64);
                blas::gemm_strided_batched_ex(
                    handle,
                    first,
                    second,
                    n,
                    m,
                    k,
                    alpha,
                    by,
                    narrow,
                    by_stride,
                    by_apart,
                    to,
                    narrow,
                    to_stride,
                    to_apart,
                    beta,
                    into,
                    kind,
                    into_stride,
                    into_apart,
                    batch as i32,
                    sums,
                    choice,
                )
            }
        };
        multiplied.map_err(failed)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Recorded> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(failed)?;
        let worked = work();
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        // The recording has to end whether the work could be recorded or not.
        let graph = self.stream.end_capture(flags);
        worked?;
        let graph = graph.map_err(failed)?.ok_or_else(|| failed("nothing was recorded"))?;
        Ok(Recorded(graph))
    }

    fn replay(&self, graph: &Recorded) -> Result<()> {
        graph.0.launch().map_err(failed)
    }
}

/// Compiles kernels for GPUs of a compute capability.
fn compile(source: &str, defines: &[(&str, usize)], (major, minor): (i32, i32)) -> Result<Ptx> {
    let mut options = vec![format!("--gpu-architecture=compute_{major}{minor}"), "--std=c++17".to_owned()];
    options.extend(defines.iter().map(|(name, value)| format!("-D{name}={value}")));
    let options = CompileOptions { options, ..CompileOptions::default() };
    compile_ptx_with_opts(source, options).map_err(|error| match error {
        CompileError::CompileError { log, .. } => failed(log.to_string_lossy()),
        other => failed(other),
    })
}

fn failed(error: impl fmt::Display) -> Error {
    Error::Device(error.to_string())
}

/// Whether the libraries can be loaded: cudarc panics where one is missing.
fn libraries() -> Result<()> {
    // SAFETY: loading NVIDIA's libraries runs their initialisers, as using them would.
    let found = unsafe {
        [
            (sys::is_culib_present(), "libcuda.so.1, the driver", "install NVIDIA's driver"),
            (
                cudarc::nvrtc::sys::is_culib_present(),
                "libnvrtc.so, the compiler of kernels",
                "install CUDA 12 or 13, or put the folder of PyTorch's wheel (nvidia/…/lib) on LD_LIBRARY_PATH",
            ),
            (
                cudarc::cublas::sys::is_culib_present(),
                "libcublas.so",
                "install CUDA 12 or 13, or put the folder of PyTorch's wheel (nvidia/…/lib) on LD_LIBRARY_PATH",
            ),
        ]
    };
    match found.into_iter().find(|(is_there, ..)| !is_there) {
        Some((_, library, advice)) => {
            Err(Error::Device(format!("{library}, is not on this machine; {advice}")))
        }
        None => Ok(()),
    }
}

/// Memory of the stream's pool, as it is.
fn take(stream: &Arc<CudaStream>, bytes: usize) -> Result<Held> {
    // SAFETY: the stream's context is bound to this thread; nothing reads the memory before it is written.
    let address = unsafe { result::malloc_async(stream.cu_stream(), bytes) }
        .map_err(|error| failed(format!("{bytes} bytes of its memory cannot be had: {error}")))?;
    Ok(Held { stream: stream.clone(), address })
}

/// Memory that is freed stays with the process: by default each wait for the GPU gives it back to the system.
fn keep_freed_memory(context: &Arc<CudaContext>) -> Result<()> {
    let mut pool: sys::CUmemoryPool = std::ptr::null_mut();
    let mut most = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: both pointers are to values of the types that these functions ask for.
    let set: std::result::Result<(), DriverError> = unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device())
            .result()
            .and_then(|()| sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut most).cast()).result())
    };
    set.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{Heads, SOURCE};
    use super::*;

    #[test]
    fn the_kernels_compile_for_the_gpu_where_its_compiler_is_found() {
        // SAFETY: as for `libraries`.
        if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
            eprintln!("SKIPPED: libnvrtc.so, the compiler of kernels, is not on this machine");
            return;
        }
        // The language models of 7B and 3B, their vision tower, and the golden checkpoint.
        for (kv_heads, group, width) in [(4, 7, 128), (2, 8, 128), (16, 1, 80), (2, 2, 16)] {
            let heads = Heads { kv_heads, group, width };
            let ptx = compile(SOURCE, &heads.defines(), (9, 0)).unwrap().to_src();
            for kernel in [
                "gemv_swiglu_8",
                "attend_few",
                "attend_causal",
                "choose",
                "lora_up",
                "vision_rope",
                "weigh_back",
            ] {
                assert!(ptx.contains(&format!(".entry {kernel}(")), "{kernel}");
            }
        }
    }

    #[test]
    fn a_machine_without_the_driver_says_what_is_missing() {
        // SAFETY: as for `libraries`.
        if unsafe { sys::is_culib_present() } {
            eprintln!("SKIPPED: this machine has the driver");
            return;
        }
        let error = Driver::open(0).unwrap_err().to_string();
        assert!(error.contains("libcuda.so.1"), "{error}");
    }
}
