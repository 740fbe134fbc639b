package broker

import "fedbroker/broker/lineage"

// lineage reads the journal back, where it lies in files and its subjects can be opened; nil elsewhere.
func (b *Broker) lineage(o Options) *lineage.Reader {
	files, onDisk := o.Journal.(interface{ Dir() string })
	subjects, open := o.Subjects.(lineage.Subjects)
	if !onDisk || !open {
		return nil
	}
	return lineage.New(lineage.Options{Dir: files.Dir(), Subjects: subjects, Grants: b.sessions, Revoked: b.revoked, Now: o.Now})
}
