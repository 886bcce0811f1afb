//! The lab: network namespaces with real servers and clients.
