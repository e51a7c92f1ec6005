/* A stand-in for NVIDIA's management library: the script and what it says at a moment.
 * Written from the public ABI as the pynvml binding uses it; no line of NVIDIA's header is here. */
#ifndef FLOPLEDGER_STUB_H
#define FLOPLEDGER_STUB_H

#include <stdint.h>

#define MAX_DEVICES 16
#define MAX_PARTS 7
#define FOREVER 1e18

enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4,
    NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10,
    GPU_IS_LOST = 15, VERSION_MISMATCH = 25, UNKNOWN = 999
};

/* What a script can set; rates and levels, each a piecewise-constant function of time. */
enum quantity {
    Q_UTIL, Q_MEM_UTIL, Q_POWER, Q_ENERGY, Q_SM_CLOCK, Q_MEM_CLOCK, Q_TEMP, Q_MEM_TEMP,
    Q_MEM_USED, Q_REASONS, Q_ECC_CORRECTED, Q_ECC_UNCORRECTED, Q_PCIE_TX, Q_PCIE_RX,
    Q_NVLINK_TX, Q_NVLINK_RX, Q_GRAPHICS, Q_SM, Q_OCCUPANCY, Q_INTEGER, Q_TENSOR, Q_DFMA,
    Q_HMMA, Q_DMMA, Q_IMMA, Q_DRAM, Q_FP64, Q_FP32, Q_FP16, QUANTITIES
};

typedef struct {
    char name[96], uuid[96];
    uint32_t pci_device, pci_subsystem;
    int major, minor, cores, gpm, energy, max_sm_clock, max_mem_clock;
    uint64_t memory;
    unsigned power_limit;
    int file; /* N of /dev/nvidiaN; below 0: as its place */
} model;

/* What a handle points at: a device, or a partition of one. */
typedef struct { int device; int part; } handle;

extern int device_count;
extern model models[MAX_DEVICES];
extern handle devices[MAX_DEVICES], parts[MAX_DEVICES][MAX_PARTS];
extern char driver_version[80];

int load_script(void);                      /* a return code */
double seconds_now(void);                   /* since the script's epoch */
double level(int device, int q, double at); /* the value at a moment */
double integral(int device, int q, double from, double to);
uint64_t energy_mj(int device, double at);
int parts_of(int device, double at);        /* partitions in force; 0: MIG is off */
int present(int device, double at);
int processes_of(int device, double at, unsigned *pids, uint64_t *bytes, int room);
int next_xid(uint64_t devices_mask, double *last, int *device, uint64_t *code);

/* Acts out the script's faults for one call: sleeps, hangs, dies, or returns a code (0: go on). */
int act(const char *function, int device);

#endif
