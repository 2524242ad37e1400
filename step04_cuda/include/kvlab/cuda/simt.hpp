// simt.hpp - chapter 4: how the executor runs kernels on a CPU: raw or checked, in which order,
// what it counts, and what it reports. A GPU (device.hpp) does none of it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/cuda/vector_types.hpp>
#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab::simt {

// One kind of traffic with global memory. A request is one instruction of one warp; memory
// moves in sectors of 32 bytes.
struct GlobalTraffic {
    Index requests = 0;
    Index sectors = 0;  // touched, request by request
    Index minimal =
        0;  // if the bytes of each request lay side by side: distinct bytes / 32, up

    bool operator==(const GlobalTraffic&) const = default;
};

// Shared memory has 32 banks of 4 bytes. A wavefront serves one word of each bank.
struct SharedTraffic {
    Index requests = 0;
    Index wavefronts = 0;  // per request: the most distinct words that one bank has to serve
    Index minimal = 0;     // per request: distinct words / 32, rounded up

    Index conflicts() const { return wavefronts - minimal; }

    bool operator==(const SharedTraffic&) const = default;
};

// Exact counts. Those of memory and arithmetic need checked mode; raw launches leave them.
struct Counters {
    GlobalTraffic loads, stores;
    // Requests to load of the warp that makes most of them. Of several launches: the largest.
    Index most_loads = 0;
    SharedTraffic shared_loads, shared_stores;
    Index atomics = 0;   // single threads' atomic operations, global and shared
    Index barriers = 0;  // a block's __syncthreads is one
    Index grid_barriers = 0;
    Index async_copies = 0;  // single threads'; their traffic is counted as loads and stores
    Index warp_syncs = 0, shuffles = 0, ballots = 0;  // a warp's is one
    Index fma = 0, add = 0,
          mul = 0;  // single threads'; add and mul if written __fadd_rn, __fmul_rn

    bool operator==(const Counters&) const = default;
};

// Name and value of each, for tables.
std::vector<std::pair<std::string, Index>> counter_lines(const Counters& counters);

enum class Mode : std::uint8_t { raw, checked };

// In which order the threads of a block, and the blocks of a grid, take their turns. A kernel
// whose result depends on it is wrong.
enum class Order : std::uint8_t { forward, reverse, shuffled };

// One launch: what it looked like and what it counted.
struct LaunchRecord {
    std::string kernel;
    dim3 grid, block;
    std::size_t static_shared = 0, dynamic_shared = 0;  // bytes of a block
    Counters counters;

    Index blocks() const { return Index{1} * grid.x * grid.y * grid.z; }

    Index threads() const { return Index{1} * block.x * block.y * block.z; }  // of a block
};

struct Options {
    Mode mode = Mode::raw;
    Order order = Order::forward;
    std::uint64_t seed = 1;                        // of Order::shuffled
    Counters* counters = nullptr;                  // what launches count is added to it
    std::vector<LaunchRecord>* records = nullptr;  // each launch is noted there
    unsigned resident_blocks = 4;                  // of a cooperative launch, at most
};

// The options of all launches until it goes out of scope; then those from before hold again.
class Use {
public:
    explicit Use(const Options& options);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

private:
    Options before_;
};

// The options that launches of this thread have now.
const Options& current_options();

// False in a build under the thread sanitizer: its hooks are the ones that checking needs.
bool has_checked_kernels();

// Until it goes out of scope, host code that touches device memory outside of launches and
// copies dies of SIGSEGV, as it does (or reads nonsense) on a GPU; one line on standard error
// says why. Throws Error if device memory is allocated already, or if there is another guard.
// Costs two system calls per launch and per copy, whatever the number of allocations.
class GuardDeviceMemory {
public:
    GuardDeviceMemory();
    ~GuardDeviceMemory();
    GuardDeviceMemory(const GuardDeviceMemory&) = delete;
    GuardDeviceMemory& operator=(const GuardDeviceMemory&) = delete;
};

enum class FaultKind : std::uint8_t {
    out_of_bounds,      // beside an allocation or a shared array
    not_device_memory,  // nowhere near one: a null or a host pointer
    use_after_free,
    misaligned,         // not a multiple of the access's size
    uninitialised,      // read before anything was written
    write_to_frozen,    // see device_freeze
    race,               // two threads, one of them writes, nothing between them orders it
    exited_at_barrier,  // some threads wait at a barrier, others have returned
    divergent_barrier,  // threads wait at different barriers
    lane_not_in_mask,   // a lane calls a warp primitive with a mask that leaves itself out
    missing_lane,       // a lane of the mask never comes
    divergent_warp,     // lanes of one mask wait at different calls
    inactive_source,    // a shuffle reads from a lane outside of its mask
    not_cooperative,    // a grid barrier in a launch whose blocks need not all be there
    copy_in_flight,     // memory of an asynchronous copy that nobody has waited for
    wrong_copy,         // an asynchronous copy of a size or a place that no GPU takes
};

std::string fault_name(FaultKind kind);

// A kernel did something wrong. what() is one line with everything below.
class Fault : public Error {
public:
    struct Place {
        std::string file;  // without folders; empty if unknown
        int line = 0;      // 0 if unknown
    };

    Fault(FaultKind found, const std::string& message) : Error(message), kind(found) {}

    FaultKind kind;
    std::string kernel;
    uint3 block{}, thread{};
    Place place;         // of the access or the call that was found wrong
    Place other;         // of the access or the call that it clashes with, if there is one
    std::string memory;  // name of the allocation or of the shared array, if there is one
};

}  // namespace kvlab::simt
