// launch_shape.cpp - chapter 4: shapes of a launch that no GPU accepts; in both worlds.
#include <string>

#include <kvlab/cuda/launch_shape.hpp>
#include <kvlab/tensor/error.hpp>

namespace kvlab {

void check_launch(const LaunchShape& shape) {
    const auto& [kernel, grid, block, static_shared, dynamic_shared, cooperative] = shape;
    const auto text = [](const dim3& size) {
        return concat(size.x, " x ", size.y, " x ", size.z);
    };
    const std::string launch = concat("launch of '", kernel, "': ");
    const auto empty = [](const dim3& size) {
        return size.x == 0 || size.y == 0 || size.z == 0;
    };
    check(!empty(grid) && !empty(block), launch, "nothing to run: grid ", text(grid),
          ", block ", text(block));
    constexpr unsigned kMaxX = 0x7fffffff, kMaxYZ = 65535;
    check(grid.x <= kMaxX && grid.y <= kMaxYZ && grid.z <= kMaxYZ, launch,
          "a grid has at most ", kMaxX, " x ", kMaxYZ, " x ", kMaxYZ, " blocks, found ",
          text(grid));
    constexpr std::size_t kMaxThreads = 1024, kMaxZ = 64;
    const std::size_t threads = std::size_t{block.x} * block.y * block.z;
    check(block.x <= kMaxThreads && block.y <= kMaxThreads && block.z <= kMaxZ &&
              threads <= kMaxThreads,
          launch, "a block has at most ", kMaxThreads, " threads, and ", kMaxZ,
          " in its third dimension, found ", text(block));
    check(static_shared <= kStaticSharedLimit, launch, "static shared memory has at most ",
          kStaticSharedLimit, " bytes, found ", static_shared);
    check(static_shared + dynamic_shared <= kSharedLimit, launch,
          "static and dynamic shared memory have at most ", kSharedLimit, " bytes, found ",
          static_shared, " and ", dynamic_shared);
}

void check_resident(const LaunchShape& shape, std::size_t most) {
    const std::size_t blocks = std::size_t{shape.grid.x} * shape.grid.y * shape.grid.z;
    check(blocks <= most, "cooperative launch of '", shape.kernel, "': ", blocks,
          " blocks, of which at most ", most, " fit on the device together");
}

}  // namespace kvlab
