/* The exported functions. Each asks the script what to do and what the device says now. */
#include "stub.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int started;

#define CALL(function, h)                                                          \
    handle *me = (h);                                                              \
    double now = seconds_now();                                                    \
    if (!started) return UNINITIALIZED;                                            \
    if (!me) return INVALID_ARGUMENT;                                              \
    { int code = act(#function, me->device); if (code) return code; }              \
    (void)now
#define GET(function, type, expression)                                            \
    int function(handle *h, type *out) { CALL(function, h); *out = (type)(expression); return OK; }
#define MODEL models[me->device]
#define WHOLE_ONLY if (me->part >= 0) return NOT_SUPPORTED

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int code = load_script();
    if (!code) code = act("nvmlInitWithFlags", -1);
    started = code == OK;
    return code;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { started = 0; return OK; }

const char *nvmlErrorString(int code) {
    switch (code) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case TIMEOUT: return "Timeout";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

static int text(char *out, unsigned room, const char *what) {
    if (strlen(what) >= room) return INSUFFICIENT_SIZE;
    strcpy(out, what);
    return OK;
}
int nvmlSystemGetDriverVersion(char *out, unsigned room) {
    return started ? text(out, room, driver_version) : UNINITIALIZED;
}
int nvmlSystemGetNVMLVersion(char *out, unsigned room) { return text(out, room, "13.580.65.06"); }
int nvmlSystemGetCudaDriverVersion(int *out) { *out = 13000; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { *out = 13000; return OK; }

/* A device that has not appeared yet has no index: the list is that of the present ones. */
static int nth(unsigned index, double now) {
    for (int n = 0; n < device_count; n++)
        if (present(n, now) && index-- == 0) return n;
    return -1;
}
int nvmlDeviceGetCount_v2(unsigned *out) {
    if (!started) return UNINITIALIZED;
    int code = act("nvmlDeviceGetCount_v2", -1);
    if (code) return code;
    *out = 0;
    for (int n = 0; n < device_count; n++) *out += (unsigned)present(n, seconds_now());
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle **out) {
    if (!started) return UNINITIALIZED;
    int n = nth(index, seconds_now());
    if (n < 0) return INVALID_ARGUMENT;
    int code = act("nvmlDeviceGetHandleByIndex_v2", n);
    if (!code) *out = &devices[n];
    return code;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, handle **out) {
    if (!started) return UNINITIALIZED;
    for (int n = 0; n < device_count; n++)
        if (present(n, seconds_now()) && !strcmp(models[n].uuid, uuid)) {
            *out = &devices[n];
            return OK;
        }
    return NOT_FOUND;
}
int nvmlDeviceGetIndex(handle *h, unsigned *out) {
    CALL(nvmlDeviceGetIndex, h);
    *out = 0;
    for (int n = 0; n < me->device; n++) *out += (unsigned)present(n, now);
    return OK;
}
GET(nvmlDeviceGetMinorNumber, unsigned, MODEL.file >= 0 ? MODEL.file : me->device)

int nvmlDeviceGetName(handle *h, char *out, unsigned room) {
    CALL(nvmlDeviceGetName, h);
    return text(out, room, MODEL.name);
}
int nvmlDeviceGetUUID(handle *h, char *out, unsigned room) {
    CALL(nvmlDeviceGetUUID, h);
    char uuid[128];
    if (me->part < 0) return text(out, room, MODEL.uuid);
    snprintf(uuid, sizeof uuid, "MIG-00000000-0000-0000-%04d-%012d", me->part, me->device + 1);
    return text(out, room, uuid);
}

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci;
int nvmlDeviceGetPciInfo_v3(handle *h, pci *out) {
    CALL(nvmlDeviceGetPciInfo_v3, h);
    memset(out, 0, sizeof *out);
    out->bus = (unsigned)(me->device + 1);
    out->id = MODEL.pci_device;
    out->subsystem = MODEL.pci_subsystem;
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
    snprintf(out->legacy, sizeof out->legacy, "0000:%02X:00.0", out->bus);
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(handle *h, int *major, int *minor) {
    CALL(nvmlDeviceGetCudaComputeCapability, h);
    *major = MODEL.major; *minor = MODEL.minor;
    return OK;
}
GET(nvmlDeviceGetNumGpuCores, unsigned, MODEL.cores)

/* ---- gauges ---- */
typedef struct { unsigned gpu, memory; } utilization;
int nvmlDeviceGetUtilizationRates(handle *h, utilization *out) {
    CALL(nvmlDeviceGetUtilizationRates, h);
    if (me->part >= 0 || parts_of(me->device, now)) return NOT_SUPPORTED;
    out->gpu = (unsigned)level(me->device, Q_UTIL, now);
    out->memory = (unsigned)level(me->device, Q_MEM_UTIL, now);
    return OK;
}
int nvmlDeviceGetPowerUsage(handle *h, unsigned *out) {
    CALL(nvmlDeviceGetPowerUsage, h);
    WHOLE_ONLY;
    *out = (unsigned)level(me->device, Q_POWER, now);
    return OK;
}
GET(nvmlDeviceGetEnforcedPowerLimit, unsigned, MODEL.power_limit)
GET(nvmlDeviceGetPowerManagementLimit, unsigned, MODEL.power_limit)
GET(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, MODEL.power_limit)
int nvmlDeviceGetTotalEnergyConsumption(handle *h, uint64_t *out) {
    CALL(nvmlDeviceGetTotalEnergyConsumption, h);
    WHOLE_ONLY;
    if (!MODEL.energy) return NOT_SUPPORTED;
    *out = energy_mj(me->device, now);
    return OK;
}
int nvmlDeviceGetClockInfo(handle *h, int type, unsigned *out) {
    CALL(nvmlDeviceGetClockInfo, h);
    if (type > 2) return NOT_SUPPORTED;
    *out = (unsigned)level(me->device, type == 2 ? Q_MEM_CLOCK : Q_SM_CLOCK, now);
    return OK;
}
int nvmlDeviceGetMaxClockInfo(handle *h, int type, unsigned *out) {
    CALL(nvmlDeviceGetMaxClockInfo, h);
    if (type > 2) return NOT_SUPPORTED;
    *out = (unsigned)(type == 2 ? MODEL.max_mem_clock : MODEL.max_sm_clock);
    return OK;
}
int nvmlDeviceGetTemperature(handle *h, int sensor, unsigned *out) {
    CALL(nvmlDeviceGetTemperature, h);
    WHOLE_ONLY;
    (void)sensor;
    *out = (unsigned)level(me->device, Q_TEMP, now);
    return OK;
}
#ifndef OMIT_EVENT_REASONS
int nvmlDeviceGetCurrentClocksEventReasons(handle *h, unsigned long long *out) {
    CALL(nvmlDeviceGetCurrentClocksEventReasons, h);
    *out = (unsigned long long)level(me->device, Q_REASONS, now);
    return OK;
}
#endif
int nvmlDeviceGetCurrentClocksThrottleReasons(handle *h, unsigned long long *out) {
    CALL(nvmlDeviceGetCurrentClocksThrottleReasons, h);
    *out = (unsigned long long)level(me->device, Q_REASONS, now);
    return OK;
}

/* ---- what other tools insist on ---- */
#define PAIR(function, a, b)                                                       \
    int function(handle *h, unsigned *x, unsigned *y) { CALL(function, h); *x = a; *y = b; return OK; }
PAIR(nvmlDeviceGetEncoderUtilization, 0, 167000)
PAIR(nvmlDeviceGetDecoderUtilization, 0, 167000)
PAIR(nvmlDeviceGetPowerManagementLimitConstraints, MODEL.power_limit / 2, MODEL.power_limit)
GET(nvmlDeviceGetPerformanceState, int, 0)
GET(nvmlDeviceGetPersistenceMode, int, 1)
GET(nvmlDeviceGetComputeMode, int, 0)
GET(nvmlDeviceGetDisplayActive, int, 0)
GET(nvmlDeviceGetDisplayMode, int, 0)
GET(nvmlDeviceGetEccMode, int, 1)
int nvmlDeviceGetDriverModel_v2(handle *h, unsigned *x, unsigned *y) {
    CALL(nvmlDeviceGetDriverModel_v2, h);
    (void)x, (void)y;
    return NOT_SUPPORTED; /* a word of another operating system */
}
int nvmlDeviceGetDriverModel(handle *h, unsigned *x, unsigned *y) {
    return nvmlDeviceGetDriverModel_v2(h, x, y);
}
typedef struct { uint64_t total, free, used; } bar1;
int nvmlDeviceGetBAR1MemoryInfo(handle *h, bar1 *out) {
    CALL(nvmlDeviceGetBAR1MemoryInfo, h);
    *out = (bar1){131072ull << 20, 131071ull << 20, 1 << 20};
    return OK;
}
int nvmlDeviceGetFanSpeed(handle *h, unsigned *out) {
    CALL(nvmlDeviceGetFanSpeed, h);
    (void)out;
    return NOT_SUPPORTED; /* these boards have no fan */
}
int nvmlDeviceGetPcieThroughput(handle *h, int direction, unsigned *out) {
    CALL(nvmlDeviceGetPcieThroughput, h);
    *out = (unsigned)(level(me->device, direction ? Q_PCIE_RX : Q_PCIE_TX, now) / 1024);
    return OK;
}

/* ---- memory ---- */
typedef struct { uint64_t total, free, used; } memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } memory_v2;
static uint64_t share(const handle *me, uint64_t whole, double now) {
    int count = parts_of(me->device, now);
    return me->part >= 0 && count ? whole / (uint64_t)count : whole;
}
int nvmlDeviceGetMemoryInfo(handle *h, memory *out) {
    CALL(nvmlDeviceGetMemoryInfo, h);
    out->total = share(me, MODEL.memory, now);
    out->used = share(me, (uint64_t)level(me->device, Q_MEM_USED, now), now);
    out->free = out->total - out->used;
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(handle *h, memory_v2 *out) {
    CALL(nvmlDeviceGetMemoryInfo_v2, h);
    if (out->version != (sizeof(memory_v2) | 2u << 24)) return VERSION_MISMATCH;
    out->total = share(me, MODEL.memory, now);
    out->used = share(me, (uint64_t)level(me->device, Q_MEM_USED, now), now);
    out->reserved = 0;
    out->free = out->total - out->used;
    return OK;
}
int nvmlDeviceGetTotalEccErrors(handle *h, int type, int counter, unsigned long long *out) {
    CALL(nvmlDeviceGetTotalEccErrors, h);
    WHOLE_ONLY;
    (void)counter;
    *out = (unsigned long long)level(me->device, type ? Q_ECC_UNCORRECTED : Q_ECC_CORRECTED, now);
    return OK;
}

/* ---- field values: one call for several, each with its own return code ---- */
typedef struct {
    unsigned id, scope; long long timestamp, latency; int type, code;
    union { double d; unsigned u; unsigned long long ull; } value;
} field;
static int one_field(const handle *me, field *f, double now) {
    int d = me->device;
    f->type = 3; /* unsigned long long */
    switch (f->id) {
    case 83: f->value.ull = energy_mj(d, now); return models[d].energy ? OK : NOT_SUPPORTED;
    case 82: f->type = 1; f->value.u = (unsigned)level(d, Q_MEM_TEMP, now); return OK;
    case 185: case 186:
        f->type = 1; f->value.u = (unsigned)level(d, Q_POWER, now);
        return models[d].major >= 8 ? OK : NOT_SUPPORTED;
    case 138: f->value.ull = (unsigned long long)(integral(d, Q_NVLINK_TX, 0, now) / 1024); return OK;
    case 139: f->value.ull = (unsigned long long)(integral(d, Q_NVLINK_RX, 0, now) / 1024); return OK;
    case 197: f->value.ull = (unsigned long long)integral(d, Q_PCIE_TX, 0, now); return OK;
    case 198: f->value.ull = (unsigned long long)integral(d, Q_PCIE_RX, 0, now); return OK;
    default: return NOT_SUPPORTED;
    }
}
int nvmlDeviceGetFieldValues(handle *h, int count, field *fields) {
    CALL(nvmlDeviceGetFieldValues, h);
    WHOLE_ONLY;
    for (int n = 0; n < count; n++) {
        char name[32];
        snprintf(name, sizeof name, "field%u", fields[n].id);
        fields[n].timestamp = (long long)(now * 1e6);
        fields[n].code = act(name, me->device);
        if (!fields[n].code) fields[n].code = one_field(me, &fields[n], now);
    }
    return OK;
}

/* ---- samples, processes ---- */
typedef struct { unsigned long long timestamp; union { unsigned u; unsigned long long ull; } value; } sample;
int nvmlDeviceGetSamples(handle *h, int type, unsigned long long last, int *value_type,
                         unsigned *count, sample *out) {
    CALL(nvmlDeviceGetSamples, h);
    int q = type == 1 ? Q_UTIL : type == 2 ? Q_MEM_UTIL : type == 0 ? Q_POWER : -1;
    if (q < 0 || parts_of(me->device, now)) return NOT_SUPPORTED;
    *value_type = 1;
    if (!out) { *count = 120; return OK; }
    unsigned room = *count;
    *count = 0;
    for (int back = 119; back >= 0 && *count < room; back--) {
        double at = now - back / 6.0;
        unsigned long long stamp = (unsigned long long)((at + 1e9) * 1e6);
        if (stamp <= last) continue;
        out[*count].timestamp = stamp;
        out[(*count)++].value.u = (unsigned)level(me->device, q, at);
    }
    return *count ? OK : NOT_FOUND;
}
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process_info;
static int list_processes(const handle *me, double now, unsigned *count, process_info *out) {
    unsigned pids[64]; uint64_t bytes[64];
    unsigned found = (unsigned)processes_of(me->device, now, pids, bytes, 64);
    unsigned room = *count;
    *count = found;
    if (!found) return OK;
    if (!out || room < found) return INSUFFICIENT_SIZE;
    for (unsigned n = 0; n < found; n++)
        out[n] = (process_info){pids[n], bytes[n], 0xFFFFFFFF, 0xFFFFFFFF};
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(handle *h, unsigned *count, process_info *out) {
    CALL(nvmlDeviceGetComputeRunningProcesses_v3, h);
    return list_processes(me, now, count, out);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(handle *h, unsigned *count, process_info *out) {
    CALL(nvmlDeviceGetGraphicsRunningProcesses_v3, h);
    (void)out; *count = 0;
    return OK;
}
typedef struct { unsigned pid; unsigned long long at; unsigned sm, mem, enc, dec; } process_use;
int nvmlDeviceGetProcessUtilization(handle *h, process_use *out, unsigned *count,
                                    unsigned long long last) {
    CALL(nvmlDeviceGetProcessUtilization, h);
    unsigned pids[64]; uint64_t bytes[64];
    unsigned found = (unsigned)processes_of(me->device, now, pids, bytes, 64), room = *count;
    (void)last;
    if (parts_of(me->device, now)) return NOT_SUPPORTED;
    *count = found;
    if (!found) return OK; /* as the driver does: no samples is a success */
    if (!out || room < found) return INSUFFICIENT_SIZE;
    for (unsigned n = 0; n < found; n++)
        out[n] = (process_use){pids[n], (unsigned long long)(now * 1e6),
            (unsigned)level(me->device, Q_UTIL, now) / found,
            (unsigned)level(me->device, Q_MEM_UTIL, now) / found, 0, 0};
    return OK;
}

/* ---- events ---- */
typedef struct { uint64_t mask; double last; } event_set;
typedef struct { handle *device; unsigned long long type, data; unsigned gi, ci; } event_data;
int nvmlEventSetCreate(event_set **out) {
    *out = calloc(1, sizeof **out);
    (*out)->last = seconds_now();
    return OK;
}
int nvmlDeviceGetSupportedEventTypes(handle *h, unsigned long long *out) {
    CALL(nvmlDeviceGetSupportedEventTypes, h);
    *out = 8;
    return OK;
}
int nvmlDeviceRegisterEvents(handle *h, unsigned long long types, event_set *set) {
    CALL(nvmlDeviceRegisterEvents, h);
    (void)types;
    set->mask |= 1ull << me->device;
    return OK;
}
int nvmlEventSetWait_v2(event_set *set, event_data *out, unsigned timeout) {
    int device; uint64_t code;
    (void)timeout;
    if (!next_xid(set->mask, &set->last, &device, &code)) return TIMEOUT;
    *out = (event_data){&devices[device], 8, code, 0xFFFFFFFF, 0xFFFFFFFF};
    return OK;
}
int nvmlEventSetFree(event_set *set) { free(set); return OK; }

/* ---- partitions ---- */
int nvmlDeviceGetMigMode(handle *h, unsigned *current, unsigned *pending) {
    CALL(nvmlDeviceGetMigMode, h);
    if (MODEL.major < 8) return NOT_SUPPORTED;
    *current = *pending = parts_of(me->device, now) > 0;
    return OK;
}
GET(nvmlDeviceGetMaxMigDeviceCount, unsigned, MODEL.major >= 8 ? MAX_PARTS : 0)
int nvmlDeviceGetMigDeviceHandleByIndex(handle *h, unsigned index, handle **out) {
    CALL(nvmlDeviceGetMigDeviceHandleByIndex, h);
    if ((int)index >= parts_of(me->device, now)) return NOT_FOUND;
    *out = &parts[me->device][index];
    return OK;
}
GET(nvmlDeviceIsMigDeviceHandle, unsigned, me->part >= 0)
GET(nvmlDeviceGetGpuInstanceId, unsigned, me->part + 1)
GET(nvmlDeviceGetComputeInstanceId, unsigned, 0)
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle *h, handle **out) {
    CALL(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, h);
    *out = &devices[me->device];
    return OK;
}

/* ---- GPM: means between two samples ---- */
#ifndef OMIT_GPM
typedef struct { unsigned version, supported; } gpm_support;
typedef struct { int device; double at; } gpm_sample;
typedef struct { unsigned id; int code; double value; char *names[3]; } gpm_metric;
typedef struct { unsigned version, count; gpm_sample *first, *second; gpm_metric metrics[]; } gpm_get;
int nvmlGpmQueryDeviceSupport(handle *h, gpm_support *out) {
    CALL(nvmlGpmQueryDeviceSupport, h);
    out->supported = (unsigned)MODEL.gpm;
    return OK;
}
int nvmlGpmSampleAlloc(gpm_sample **out) { *out = calloc(1, sizeof **out); return OK; }
int nvmlGpmSampleFree(gpm_sample *s) { free(s); return OK; }
int nvmlGpmSampleGet(handle *h, gpm_sample *s) {
    CALL(nvmlGpmSampleGet, h);
    if (!MODEL.gpm) return NOT_SUPPORTED;
    *s = (gpm_sample){me->device, now};
    return OK;
}
int nvmlGpmMigSampleGet(handle *h, unsigned instance, gpm_sample *s) {
    CALL(nvmlGpmMigSampleGet, h);
    if ((int)instance < 1 || (int)instance > parts_of(me->device, now)) return NOT_FOUND;
    *s = (gpm_sample){me->device, now};
    return OK;
}
static int gpm_quantity(unsigned id) {
    static const int by_id[] = {-1, Q_GRAPHICS, Q_SM, Q_OCCUPANCY, Q_INTEGER, Q_TENSOR, Q_DFMA,
                                Q_HMMA, Q_DMMA, Q_IMMA, Q_DRAM, Q_FP64, Q_FP32, Q_FP16};
    return id < 14 ? by_id[id] : id == 20 ? Q_PCIE_TX : id == 21 ? Q_PCIE_RX : -1;
}
int nvmlGpmMetricsGet(gpm_get *get) {
    if (get->version != 1) return VERSION_MISMATCH;
    double span = get->second->at - get->first->at;
    int code = act("nvmlGpmMetricsGet", get->second->device);
    if (code) return code;
    for (unsigned n = 0; n < get->count; n++) {
        gpm_metric *m = &get->metrics[n];
        int q = gpm_quantity(m->id);
        m->code = q < 0 || span <= 0 ? NOT_SUPPORTED : OK;
        if (m->code) continue;
        m->value = integral(get->first->device, q, get->first->at, get->second->at) / span;
        if (m->id >= 20) m->value /= 1 << 20; /* MiB/s */
    }
    return OK;
}
#endif
