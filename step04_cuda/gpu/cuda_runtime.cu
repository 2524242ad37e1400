// cuda_runtime.cu - chapter 4: launches and memory where there is a GPU. Compiled
// by nvcc alone.
//
// One stream for everything. All calls are checked. A kernel's fault is found by whichever call
// comes next, and stays: the program has to be started again.
#include <kvlab/tensor/error.hpp>
#include <unordered_map>

#include "gpu_runtime.hpp"

namespace kvlab {

namespace {

constexpr int kPoison = 0xff;  // four of these are a NaN

void check_cuda(cudaError_t code, const char* what) {
    if (code != cudaSuccess)
        throw Error(
            concat(what, ": GPU: ", cudaGetErrorName(code), ", ", cudaGetErrorString(code)));
}

cudaStream_t& stream() {
    static cudaStream_t only = nullptr;
    return only;
}

struct Function {
    std::size_t static_shared = 0;   // bytes
    std::size_t dynamic_shared = 0;  // bytes that have been asked for
};

// Asked for once: the first question about a kernel makes the driver compile it.
Function& function_of(const char* kernel, const void* function) {
    static std::unordered_map<const void*, Function> known;
    const auto found = known.find(function);
    if (found != known.end()) return found->second;
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, function), kernel);
    return known[function] = {attributes.sharedSizeBytes, 0};
}

std::string version(int number) {
    return concat(number / 1000, ".", number % 1000 / 10);
}

// Why device 0 cannot run this program; empty if it can.
std::string hindrance() {
    int driver = 0, devices = 0, major = 0, minor = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no driver";
    // The driver compiles our PTX, and reads none that is newer than itself.
    if (driver < CUDART_VERSION)
        return concat("the driver knows CUDA ", version(driver), ", this program needs ",
                      version(CUDART_VERSION));
    const cudaError_t code = cudaGetDeviceCount(&devices);
    if (code != cudaSuccess) return cudaGetErrorString(code);
    if (devices == 0) return "no device";
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) != cudaSuccess)
        return "its compute capability is unknown";
    if (major * 10 + minor < 75)
        return concat("compute capability ", major, ".", minor, ", at least 7.5 is needed");
    return {};
}

// Dynamic shared memory beyond what need not be asked for.
void ask_for_shared(const GpuLaunch& launch) {
    Function& known = function_of(launch.kernel, launch.function);
    if (!launch.large_shared || launch.dynamic_shared <= known.dynamic_shared) return;
    check_cuda(
        cudaFuncSetAttribute(launch.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(launch.dynamic_shared)),
        launch.kernel);
    known.dynamic_shared = launch.dynamic_shared;
}

int attribute_of_device(cudaDeviceAttr which) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, which, 0), "device 0");
    return value;
}

struct Events {
    cudaEvent_t begin = nullptr, end = nullptr;
};

}  // namespace

const bool kGpuBuilt = true;

bool gpu_found(std::string* why_not) {
    const std::string why = hindrance();
    if (why_not != nullptr) *why_not = why;
    return why.empty();
}

void gpu_open() {
    if (stream() != nullptr) return;
    check_cuda(cudaSetDevice(0), "device 0");
    check_cuda(cudaStreamCreateWithFlags(&stream(), cudaStreamNonBlocking), "stream");
}

std::string gpu_name() {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, 0), "device 0");
    return properties.name;
}

DeviceFacts gpu_facts() {
    DeviceFacts facts;
    std::size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "memory");
    check_cuda(cudaDriverGetVersion(&facts.driver_cuda), "driver");
    check_cuda(cudaRuntimeGetVersion(&facts.runtime_cuda), "runtime");
    facts.capability = attribute_of_device(cudaDevAttrComputeCapabilityMajor) * 10 +
                       attribute_of_device(cudaDevAttrComputeCapabilityMinor);
    facts.multiprocessors = attribute_of_device(cudaDevAttrMultiProcessorCount);
    facts.clock_mhz = attribute_of_device(cudaDevAttrClockRate) / 1e3;
    facts.memory_clock_mhz = attribute_of_device(cudaDevAttrMemoryClockRate) / 1e3;
    facts.bus_bits = attribute_of_device(cudaDevAttrGlobalMemoryBusWidth);
    facts.second_level_bytes = attribute_of_device(cudaDevAttrL2CacheSize);
    facts.memory_bytes = static_cast<std::ptrdiff_t>(total);
    return facts;
}

std::size_t gpu_static_shared(const char* kernel, const void* function) {
    return function_of(kernel, function).static_shared;
}

unsigned gpu_resident_blocks(const GpuLaunch& launch) {
    ask_for_shared(launch);
    const unsigned threads = launch.block[0] * launch.block[1] * launch.block[2];
    int of_each = 0, processors = 0;
    check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                   &of_each, launch.function, static_cast<int>(threads), launch.dynamic_shared),
               launch.kernel);
    check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0),
               launch.kernel);
    return static_cast<unsigned>(of_each) * static_cast<unsigned>(processors);
}

void gpu_launch(const GpuLaunch& launch) {
    const auto& [kernel, function, arguments, grid, block, dynamic_shared, large, cooperative] =
        launch;
    ask_for_shared(launch);
    const dim3 blocks(grid[0], grid[1], grid[2]), threads(block[0], block[1], block[2]);
    check_cuda(cooperative ? cudaLaunchCooperativeKernel(function, blocks, threads, arguments,
                                                         dynamic_shared, stream())
                           : cudaLaunchKernel(function, blocks, threads, arguments,
                                              dynamic_shared, stream()),
               kernel);
}

// Relaxed: this thread may ask CUDA other things meanwhile. What would wait has been refused
// before it comes here.
void gpu_graph_begin() {
    check_cuda(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "graph");
}

void* gpu_graph_end() {
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(stream(), &graph), "graph");
    std::size_t nodes = 0;
    cudaError_t code = cudaGraphGetNodes(graph, nullptr, &nodes);
    cudaGraphExec_t ready = nullptr;
    if (code == cudaSuccess && nodes > 0) code = cudaGraphInstantiate(&ready, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(code, "graph");
    return ready;
}

void gpu_graph_abandon() {
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream(), &graph) == cudaSuccess) cudaGraphDestroy(graph);
}

void gpu_graph_launch(void* graph) {
    check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream()), "graph");
}

// In a destructor: an error is told by the next call.
void gpu_graph_drop(void* graph) {
    if (graph != nullptr) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

void* gpu_alloc(std::size_t bytes, const char* name) {
    void* memory = nullptr;
    check_cuda(cudaMalloc(&memory, bytes), name);
    check_cuda(cudaMemsetAsync(memory, kPoison, bytes, stream()), name);
    return memory;
}

// Destructors come here, also when a launch has failed, so only a pointer that is none throws;
// what the launch did wrong is told by the next call that may throw. cudaFree waits for the
// kernels that use the memory.
void gpu_free(void* pointer) {
    const cudaError_t code = cudaFree(pointer);
    if (code == cudaErrorInvalidValue) check_cuda(code, "device_free");
}

// Waits: the caller may change or free the host's bytes next.
void gpu_copy_to_device(void* device, const void* host, std::size_t bytes) {
    check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream()),
               "copy to device");
    check_cuda(cudaStreamSynchronize(stream()), "copy to device");
}

void gpu_copy_to_host(void* host, const void* device, std::size_t bytes) {
    check_cuda(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream()),
               "copy to host");
    check_cuda(cudaStreamSynchronize(stream()), "copy to host");
}

void gpu_synchronize() {
    check_cuda(cudaStreamSynchronize(stream()), "device_synchronize");
}

void* gpu_seconds_make() {
    Events events;
    check_cuda(cudaEventCreate(&events.begin), "stopwatch");
    check_cuda(cudaEventCreate(&events.end), "stopwatch");
    return new Events(events);
}

void gpu_seconds_begin(void* events) {
    check_cuda(cudaEventRecord(static_cast<Events*>(events)->begin, stream()), "stopwatch");
}

double gpu_seconds_end(void* events) {
    const Events& pair = *static_cast<Events*>(events);
    float milliseconds = 0;
    check_cuda(cudaEventRecord(pair.end, stream()), "stopwatch");
    check_cuda(cudaEventSynchronize(pair.end), "stopwatch");
    check_cuda(cudaEventElapsedTime(&milliseconds, pair.begin, pair.end), "stopwatch");
    return static_cast<double>(milliseconds) / 1000;
}

// In a destructor: an error is told by the next call.
void gpu_seconds_drop(void* events) {
    const Events* pair = static_cast<Events*>(events);
    if (pair == nullptr) return;
    cudaEventDestroy(pair->begin);
    cudaEventDestroy(pair->end);
    delete pair;
}

}  // namespace kvlab
