// occupancy.cpp - how many blocks of each kernel fit on a multiprocessor at once, and what the
// limit is. NVIDIA's own formula (cuda_occupancy.h of the toolkit), so no GPU is needed.
//
//   occupancy ptxas.txt launches.txt     prints the table
//
// ptxas.txt: kernel, architecture, registers, static_shared_bytes, barriers (ptx_check.py
// writes it). launches.txt: kernel, threads of a block, dynamic_shared_bytes. "#"
// begins a comment.
#include <cuda_occupancy.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// "Technical specifications per compute capability" in the CUDA C++ Programming Guide. What all
// three have in common: 65536 registers, 1024 threads in a block, 1 KiB of shared memory that
// the driver takes for each block, 1 KiB of an SM's that no block can have.
struct Processor {
    const char* architecture;
    int major;
    int threads;            // per SM
    std::size_t shared_kb;  // per SM
};

constexpr Processor kProcessors[] = {
    {"sm_80", 8, 2048, 164}, {"sm_90", 9, 2048, 228}, {"sm_120", 12, 1536, 100}};

struct Compiled {
    std::string kernel, architecture;
    int registers = 0;
    std::size_t static_shared = 0;  // bytes
    int barriers = 0;
};

struct Launch {
    std::string kernel;
    int threads = 0;
    std::size_t dynamic_shared = 0;  // bytes
};

std::istream& operator>>(std::istream& in, Compiled& row) {
    return in >> row.kernel >> row.architecture >> row.registers >> row.static_shared >>
           row.barriers;
}

std::istream& operator>>(std::istream& in, Launch& row) {
    return in >> row.kernel >> row.threads >> row.dynamic_shared;
}

template <class Row>
std::vector<Row> read_rows(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error(path + ": cannot read");
    std::vector<Row> rows;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        std::istringstream text(line.substr(0, line.find('#')));
        std::string rest;
        Row row;
        if (!(text >> std::ws) || text.eof()) continue;
        if (!(text >> row) || (text >> rest))
            throw std::runtime_error(path + ":" + std::to_string(number) + ": not a row");
        rows.push_back(row);
    }
    return rows;
}

cudaOccDeviceProp properties_of(const Processor& processor) {
    cudaOccDeviceProp properties;
    properties.computeMajor = processor.major;
    properties.computeMinor = 0;
    properties.maxThreadsPerBlock = 1024;
    properties.maxThreadsPerMultiprocessor = processor.threads;
    properties.regsPerBlock = properties.regsPerMultiprocessor = 65536;
    properties.warpSize = 32;
    properties.sharedMemPerBlock = std::size_t{48} << 10;
    properties.sharedMemPerMultiprocessor = processor.shared_kb << 10;
    properties.numSms = 1;  // what is asked for is per SM
    properties.sharedMemPerBlockOptin = (processor.shared_kb - 1) << 10;
    properties.reservedSharedMemPerBlock = std::size_t{1} << 10;
    return properties;
}

std::string limits_of(unsigned factors) {
    std::string text;
    const auto add = [&](unsigned bit, const char* name) {
        if ((factors & bit) != 0) text += (text.empty() ? "" : "+") + std::string(name);
    };
    add(OCC_LIMIT_WARPS, "warps");
    add(OCC_LIMIT_REGISTERS, "registers");
    add(OCC_LIMIT_SHARED_MEMORY, "shared");
    add(OCC_LIMIT_BLOCKS, "blocks");
    add(OCC_LIMIT_BARRIERS, "barriers");
    return text.empty() ? "-" : text;
}

void print_row(const Processor& processor, const Compiled& code, const Launch& launch) {
    const cudaOccDeviceProp properties = properties_of(processor);
    cudaOccFuncAttributes attributes;
    attributes.maxThreadsPerBlock = 1024;
    attributes.numRegs = code.registers;
    attributes.sharedSizeBytes = code.static_shared;
    attributes.partitionedGCConfig = PARTITIONED_GC_OFF;
    attributes.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    attributes.maxDynamicSharedSizeBytes = launch.dynamic_shared;
    attributes.numBlockBarriers = code.barriers;
    const cudaOccDeviceState state;
    cudaOccResult result;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &properties, &attributes, &state,
                                                launch.threads,
                                                launch.dynamic_shared) != CUDA_OCC_SUCCESS ||
        result.activeBlocksPerMultiprocessor == 0)
        throw std::runtime_error("kernel '" + code.kernel + "', " +
                                 std::to_string(launch.threads) + " threads: does not fit on " +
                                 processor.architecture);
    const int blocks = result.activeBlocksPerMultiprocessor;
    const int warps = blocks * ((launch.threads + 31) / 32), most = processor.threads / 32;
    std::printf("%-40s %-12s %7d %20zu %6d %5d %7d%% %s\n", code.kernel.c_str(),
                processor.architecture, launch.threads, launch.dynamic_shared, blocks, warps,
                100 * warps / most, limits_of(result.limitingFactors).c_str());
}

void print_table(const std::string& ptxas, const std::string& launches) {
    const auto compiled = read_rows<Compiled>(ptxas);
    std::puts("# Blocks and warps on a multiprocessor: tests/tools/ptx_check.py --write makes");
    std::puts("# this table, of ptxas.txt and launches.txt, by NVIDIA's cuda_occupancy.h.");
    std::printf("%-40s %-12s %7s %20s %6s %5s %8s %s\n", "# kernel", "architecture", "threads",
                "dynamic_shared_bytes", "blocks", "warps", "of_most", "limited_by");
    for (const Launch& launch : read_rows<Launch>(launches)) {
        int found = 0;
        for (const Processor& processor : kProcessors)
            for (const Compiled& code : compiled)
                if (code.kernel == launch.kernel &&
                    code.architecture == processor.architecture) {
                    print_row(processor, code, launch);
                    ++found;
                }
        if (found != static_cast<int>(std::size(kProcessors)))
            throw std::runtime_error("kernel '" + launch.kernel + "' of " + launches +
                                     " is not in " + ptxas);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: occupancy ptxas.txt launches.txt\n");
        return 2;
    }
    try {
        print_table(argv[1], argv[2]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "occupancy: %s\n", error.what());
        return 1;
    }
}
