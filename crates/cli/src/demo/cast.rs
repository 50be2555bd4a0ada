//! The people of the demo. All of them are invented.

use marrowline_record::pb::Role;

/// One person: a short handle, the printed name, and roles at facilities.
pub struct Person {
    /// Short handle; also the name of the key file.
    pub handle: &'static str,
    /// Printed name.
    pub name: &'static str,
    /// Roles at the laboratory.
    pub lab: &'static [Role],
    /// Roles at the hospital.
    pub hospital: &'static [Role],
}

const fn person(handle: &'static str, name: &'static str, lab: &'static [Role], hospital: &'static [Role]) -> Person {
    Person { handle, name, lab, hospital }
}

/// The two who found the ledger, then everyone else.
pub const CAST: &[Person] = &[
    person("key", "Vera Sokolova", &[Role::KeyAdministrator], &[]),
    person("qa", "Dmitri Abramov", &[Role::QualityAssurance], &[Role::QualityAssurance]),
    person("qa2", "Svetlana Guseva", &[Role::QualityAssurance], &[]),
    person("qp", "Irina Lebedeva", &[Role::QualifiedPerson], &[]),
    person("phy", "Oleg Markov", &[Role::DonorPhysician], &[]),
    person("col", "Nina Orlova", &[Role::Collector], &[]),
    person("op1", "Anna Petrova", &[Role::Operator], &[]),
    person("op2", "Pavel Smirnov", &[Role::Operator], &[]),
    person("qc", "Maria Volkova", &[Role::QcAnalyst], &[]),
    person("qr", "Sergei Morozov", &[Role::QcReviewer], &[]),
    person("cry", "Tatiana Belova", &[Role::Cryobank], &[]),
    person("cryh", "Yuri Zaitsev", &[], &[Role::Cryobank]),
    person("pha1", "Elena Kuznetsova", &[], &[Role::Pharmacist]),
    person("pha2", "Andrei Popov", &[], &[Role::Pharmacist]),
    person("pha3", "Nadezhda Titova", &[], &[Role::Pharmacist]),
    person("oph1", "Kirill Gusev", &[], &[Role::Operator]),
    person("oph2", "Alla Nikitina", &[], &[Role::Operator]),
    person("inv", "Galina Fedorova", &[], &[Role::Investigator]),
    person("rnd", "Mikhail Egorov", &[], &[Role::Randomiser]),
    person("rn1", "Olga Romanova", &[], &[Role::Nurse]),
    person("rn2", "Larisa Frolova", &[], &[Role::Nurse]),
    person("qcr", "Roman Vlasov", &[Role::QcAnalyst, Role::QcReviewer], &[]),
    person("pha4", "Zoya Krylova", &[], &[Role::Pharmacist]),
    person("cur", "Gleb Sidorov", &[Role::Courier], &[Role::Courier]),
    person("dev", "Data logger of LN2-A", &[Role::Device], &[]),
    person("aud", "Boris Antonov", &[Role::Auditor], &[Role::Auditor]),
];

/// How many found the ledger; the others are enrolled one by one.
pub const FOUNDERS: usize = 2;
