// The gradient of looking rows up: row index[i] of a table of float (or double) gets row i of g added.
// In the order in which the threads come, so that sums may differ in their last digits from run to run.

KERNEL add_rows(const T* g, const long long* index, A* table, long long count, long long width, long long rows) {
    EACH(i, count * width) {
        long long row = index[i / (int)width];
        row += row < 0 ? rows : 0;
        if (row >= 0 && row < rows) atomicAdd(table + row * width + i % (int)width, load(g[i]));
    }
}
