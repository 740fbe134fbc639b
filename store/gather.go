package store

import "time"

// Gather collects what one synced write shall carry: first, and what waits in queue behind it, at most most in all. While fewer
// than want are together it lingers for more, linger at the longest. A writer passes as want how many it carried last time: when
// callers queue, they come back together just after they were answered; a lone caller never waits.
func Gather[J any](first J, queue <-chan J, want, most int, linger time.Duration) []J {
	jobs := []J{first}
	var timer *time.Timer
	for len(jobs) < most {
		select {
		case j := <-queue:
			jobs = append(jobs, j)
			continue
		default:
		}
		if len(jobs) >= want {
			break
		}
		if timer == nil {
			timer = time.NewTimer(linger)
			defer timer.Stop()
		}
		select {
		case j := <-queue:
			jobs = append(jobs, j)
		case <-timer.C:
			return jobs
		}
	}
	return jobs
}
