#include "gpus.hpp"

#include <algorithm>
#include <sstream>

#include "results_tables.hpp"

namespace kvlab::app {

const Gpu& find_gpu(const std::string& name) {
    std::string names;
    for (const Gpu& gpu : kGpus) {
        if (gpu.name == name) return gpu;
        names += (names.empty() ? "" : ", ") + std::string(gpu.name);
    }
    throw Error(concat("GPU '", name, "': expected one of ", names));
}

namespace {

// Calls `row` with the fields of each line that is no comment.
template <class Row>
void each_row(const char* text, Row row) {
    std::istringstream table(text);
    std::string line;
    while (std::getline(table, line)) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream fields(line);
        row(fields);
    }
}

}  // namespace

Occupancy occupancy(const std::string& kernel,
                    const char* architecture,
                    Index threads,
                    std::size_t dynamic_shared) {
    constexpr Index kMostThreads = 2048;
    Occupancy found{std::max<Index>(1, kMostThreads / std::max<Index>(threads, kWarp)), -1};
    each_row(kOccupancyTable, [&](std::istream& fields) {
        std::string name, of;
        Index of_threads = 0, blocks = 0, warps = 0;
        std::size_t of_shared = 0;
        double percent = 0;
        fields >> name >> of >> of_threads >> of_shared >> blocks >> warps >> percent;
        if (fields && name == kernel && of == architecture && of_threads == threads &&
            of_shared == dynamic_shared)
            found = {blocks, percent / 100};
    });
    return found;
}

Index loads_under_way(const std::string& kernel) {
    Index found = 1;
    each_row(kLoadsTable, [&](std::istream& fields) {
        std::string name;
        Index loads = 0;
        fields >> name >> loads;
        if (fields && name == kernel) found = std::max<Index>(1, loads);
    });
    return found;
}

}  // namespace kvlab::app
