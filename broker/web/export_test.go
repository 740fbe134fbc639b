package web

// Logins is what a server hands browsers' requests to.
type Logins = logins

// JudgeBy makes s hand them to l instead.
func (s *Server) JudgeBy(l Logins) { s.logins = func() logins { return l } }
