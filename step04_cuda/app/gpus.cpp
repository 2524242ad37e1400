#include "gpus.hpp"

#include <sstream>

#include "occupancy_table.hpp"

namespace kvlab::app {

const Gpu& find_gpu(const std::string& name) {
    std::string names;
    for (const Gpu& gpu : kGpus) {
        if (gpu.name == name) return gpu;
        names += (names.empty() ? "" : ", ") + std::string(gpu.name);
    }
    throw Error(concat("GPU '", name, "': expected one of ", names));
}

double occupancy(const std::string& kernel,
                 const char* architecture,
                 Index threads,
                 std::size_t dynamic_shared) {
    std::istringstream table(kOccupancyTable);
    std::string line, name, found;
    while (std::getline(table, line)) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream fields(line);
        Index of_threads = 0, blocks = 0, warps = 0;
        std::size_t of_shared = 0;
        double percent = 0;
        fields >> name >> found >> of_threads >> of_shared >> blocks >> warps >> percent;
        if (fields && name == kernel && found == architecture && of_threads == threads &&
            of_shared == dynamic_shared)
            return percent / 100;
    }
    return -1;
}

}  // namespace kvlab::app
