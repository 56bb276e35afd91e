#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang's thread-safety analysis (-Wthread-safety) proves at compile time that what a lock guards
// is touched under that lock only. Other compilers see nothing of it.
#if defined(__clang__)
#define SPOLIA_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define SPOLIA_THREAD_ATTRIBUTE(x)
#endif

#define CAPABILITY(name) SPOLIA_THREAD_ATTRIBUTE(capability(name))
#define SCOPED_CAPABILITY SPOLIA_THREAD_ATTRIBUTE(scoped_lockable)
// On data: read and written only while the lock is held; PT_ for what a pointer points to.
#define GUARDED_BY(lock) SPOLIA_THREAD_ATTRIBUTE(guarded_by(lock))
#define PT_GUARDED_BY(lock) SPOLIA_THREAD_ATTRIBUTE(pt_guarded_by(lock))
// On functions: the caller holds the lock; must not hold it; the function takes or drops it.
#define REQUIRES(...) SPOLIA_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SPOLIA_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) SPOLIA_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) SPOLIA_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))

namespace spolia {

// std::mutex, which libstdc++ does not annotate.
class CAPABILITY("mutex") Mutex {
public:
    Mutex() = default;
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    void lock() ACQUIRE() { mutex_.lock(); }
    void unlock() RELEASE() { mutex_.unlock(); }

private:
    friend class CondVar;
    std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
public:
    explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~MutexLock() RELEASE() { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

private:
    Mutex& mutex_;
};

// Waits may end without a notification: wait in a loop around the condition.
class CondVar {
public:
    void wait(Mutex& mutex) REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
        condition_.wait(lock);
        lock.release();
    }

    // False when the deadline passed.
    bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point deadline) REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
        const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
        lock.release();
        return in_time;
    }

    void notify_one() { condition_.notify_one(); }
    void notify_all() { condition_.notify_all(); }

private:
    std::condition_variable condition_;
};

}  // namespace spolia
