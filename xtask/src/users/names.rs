//! Names and cities by culture, from which the users are generated.
//!
//! A name that is not in Latin letters is followed by its spelling in usernames: `Олена/olena`.

pub(super) struct Culture {
    pub(super) language: &'static str,
    /// Whether the family name comes first in a full name.
    pub(super) family_first: bool,
    pub(super) given: &'static [&'static str],
    pub(super) family: &'static [&'static str],
    pub(super) cities: &'static [&'static str],
}

macro_rules! culture {
    (
        $language:literal, $family_first:literal,
        [$($given:literal)*], [$($family:literal)*], [$($city:literal)*]
    ) => {
        &Culture {
            language: $language,
            family_first: $family_first,
            given: &[$($given),*],
            family: &[$($family),*],
            cities: &[$($city),*],
        }
    };
}

#[rustfmt::skip]
pub(super) const CULTURES: &[&Culture] = &[
    culture!("en", false,
        ["Alice" "Ben" "Charlotte" "Daniel" "Eleanor" "Frank" "Grace" "Harriet" "Isaac" "Judith"
         "Kenneth" "Laura" "Martin" "Nora" "Oliver" "Phoebe" "Rosalind" "Simon" "Tabitha" "Victor"],
        ["Ashworth" "Barlow" "Carter" "Dalton" "Ellison" "Fletcher" "Garside" "Hawthorne" "Ingram"
         "Kershaw" "Langley" "Mercer" "Norcross" "Ormerod" "Pickering" "Ridley" "Stanhope"
         "Thackray" "Underwood" "Whitlock"],
        ["Leeds" "Bristol" "Cardiff" "Halifax" "Wellington" "Brisbane" "Toronto" "Portland"]),
    culture!("ga", false,
        ["Aoife" "Bríd" "Cathal" "Deirdre" "Eoin" "Fionn" "Gráinne" "Niamh" "Oisín" "Pádraig"
         "Róisín" "Siobhán"],
        ["Ó Briain" "Ó Súilleabháin" "Byrne" "Doherty" "Gallagher" "Mac Cárthaigh" "Nic Dhonncha"
         "O'Dowd" "O'Meara" "Quinlan"],
        ["Galway" "Cork" "Dún Laoghaire" "Sligo" "Derry"]),
    culture!("de", false,
        ["Anke" "Björn" "Claudia" "Dieter" "Elke" "Friedrich" "Gisela" "Hannelore" "Jürgen" "Käthe"
         "Lukas" "Monika" "Rüdiger" "Sabine" "Uwe"],
        ["Ackermann" "Brückner" "Dreßler" "Eichhorn" "Fürst" "Grünwald" "Hölzer" "Kästner" "Lindner"
         "Möhring" "Neuhaus" "Pfeiffer" "Schäfer" "Vogt" "Weißmüller"],
        ["Köln" "Graz" "Leipzig" "Bern" "Münster" "Lübeck"]),
    culture!("fr", false,
        ["Amélie" "Benoît" "Chloé" "Didier" "Élodie" "François" "Geneviève" "Hélène" "Jérôme" "Léa"
         "Maëlle" "Noémie" "Rémi" "Solène" "Théo"],
        ["Aubert" "Bélanger" "Chevalier" "Desrosiers" "Fontaine" "Gagné" "Lefèvre" "L'Écuyer"
         "Marchand" "Noël" "Perrault" "Rousselot" "Saint-Amand" "Thériault" "Vasseur"],
        ["Lyon" "Nantes" "Montréal" "Liège" "Saint-Étienne" "Dakar"]),
    culture!("es", false,
        ["Álvaro" "Beatriz" "César" "Dolores" "Encarnación" "Fermín" "Guadalupe" "Íñigo" "Joaquín"
         "Lucía" "Montserrat" "Nicolás" "Pilar" "Rocío" "Ximena"],
        ["Aguilar" "Benítez" "Cárdenas" "Echeverría" "Fuentes" "Gutiérrez" "Ibáñez" "Lozano" "Muñoz"
         "Núñez" "Ordóñez" "Quiñones" "Saavedra" "Urrutia" "Zúñiga"],
        ["Sevilla" "A Coruña" "Bogotá" "Mérida" "Córdoba" "Lima" "Valparaíso"]),
    culture!("pt", false,
        ["Ana Luísa" "Caetano" "Conceição" "Davi" "Estêvão" "Fátima" "Gonçalo" "Inês" "João" "Luzia"
         "Otávio" "Tomé"],
        ["Almeida" "Brandão" "Conceição" "Falcão" "Guimarães" "Leitão" "Magalhães" "Noronha"
         "Quintão" "Simões" "Teixeira" "Vilaça"],
        ["Porto" "São Luís" "Recife" "Maputo" "Braga"]),
    culture!("it", false,
        ["Agnese" "Bruno" "Carlotta" "Donatella" "Ettore" "Fiorenza" "Gioele" "Ilaria" "Niccolò"
         "Ottavia" "Silvio" "Ugo"],
        ["Abbate" "Barbieri" "Caruso" "D'Alessio" "De Santis" "Esposito" "Fabbri" "Lo Presti"
         "Mazzini" "Rinaldi" "Tedeschi" "Zanetti"],
        ["Torino" "Forlì" "Bari" "Cagliari" "Lugano"]),
    culture!("pl", false,
        ["Agnieszka" "Bożena" "Czesław" "Dorota" "Elżbieta" "Grażyna" "Jacek" "Krzysztof" "Łukasz"
         "Małgorzata" "Paweł" "Świętosława" "Zbigniew"],
        ["Błaszczyk" "Ćwiklińska" "Dąbrowska" "Głowacki" "Jabłoński" "Kołodziej" "Łopuszański"
         "Nowicka" "Pączek" "Różycki" "Śliwa" "Wójtowicz" "Żurawski"],
        ["Kraków" "Łódź" "Gdańsk" "Wrocław" "Białystok"]),
    culture!("cs", false,
        ["Božena" "Dušan" "František" "Hana" "Jiří" "Květa" "Ludmila" "Matěj" "Ondřej" "Růžena"
         "Štěpán" "Zdeňka"],
        ["Beneš" "Černý" "Dvořáčková" "Hájek" "Jelínek" "Kopecká" "Mareš" "Němec" "Pešek" "Říha"
         "Šimůnek" "Vaňková"],
        ["Brno" "Plzeň" "Ústí nad Labem" "Hradec Králové"]),
    culture!("sv", false,
        ["Åsa" "Birgitta" "Emil" "Göran" "Håkan" "Ingrid" "Linnéa" "Märta" "Östen" "Sixten" "Tuva"
         "Ylva"],
        ["Åkesson" "Björkqvist" "Dahlgren" "Ekström" "Fagerlund" "Hällström" "Lindqvist" "Nyström"
         "Öberg" "Sandström" "Törnblom" "Wikander"],
        ["Malmö" "Umeå" "Göteborg" "Åbo" "Växjö"]),
    culture!("no", false,
        ["Aslaug" "Bjørn" "Dagny" "Eirik" "Gjertrud" "Håvard" "Jørgen" "Kåre" "Ragnhild" "Sølvi"
         "Torbjørn" "Åse"],
        ["Aasen" "Bjørnstad" "Eidsvåg" "Fjeld" "Gjerde" "Haugen" "Kvåle" "Myhre" "Nygård" "Rødland"
         "Sæther" "Østby"],
        ["Tromsø" "Ålesund" "Bergen" "Aarhus" "Bodø"]),
    culture!("tr", false,
        ["Ayşe" "Barış" "Çağla" "Deniz" "Emre" "Gökçe" "Hüseyin" "Işıl" "Özge" "Şebnem" "Tuğba"
         "Yiğit"],
        ["Akgün" "Bulut" "Çelebi" "Doğan" "Erdoğmuş" "Güneş" "Kılıçarslan" "Özdemir" "Şahinkaya"
         "Tüfekçi" "Ünsal" "Yıldız"],
        ["Izmir" "Eskişehir" "Muğla" "Diyarbakır" "Bursa"]),
    culture!("yo", false,
        ["Adébáyò" "Bọ́lá" "Ẹniọlá" "Fọlákẹ́" "Ìyábọ̀" "Kúnlé" "Olúwaṣeun" "Ṣadé" "Táíwò"
         "Yétúndé"],
        ["Adéyẹmí" "Akínadé" "Balógun" "Fálétí" "Ògúndípẹ̀" "Ọdúnsì" "Olátúnjí" "Ṣówándé-Bello"
         "Ọ̀ṣúnlànà"],
        ["Lagos" "Ìbàdàn" "Abẹ́òkúta" "Manchester"]),
    culture!("sw", false,
        ["Amani" "Baraka" "Chausiku" "Furaha" "Jabari" "Kamau" "Makena" "Neema" "Rehema" "Subira"
         "Wanjiku" "Zawadi"],
        ["Achieng" "Chebet" "Juma" "Kariuki" "Kimani" "Mwangi" "Ndung'u" "Ng'ang'a" "Odhiambo"
         "Otieno" "Wafula" "Wekesa"],
        ["Nairobi" "Mombasa" "Arusha" "Dar es Salaam" "Kampala"]),
    culture!("vi", true,
        ["Ánh" "Bảo" "Châu" "Dũng" "Đức" "Hạnh" "Khánh" "Linh" "Phượng" "Quỳnh" "Thảo" "Tuấn"
         "Yến"],
        ["Bùi" "Đặng" "Đỗ" "Hồ" "Huỳnh" "Lê" "Ngô" "Nguyễn" "Phạm" "Trần" "Võ" "Vũ"],
        ["Huế" "Đà Nẵng" "Hà Nội" "Cần Thơ" "Melbourne"]),
    culture!("ja", true,
        ["葵/aoi" "大輔/daisuke" "恵美/emi" "花子/hanako" "健太/kenta" "真由美/mayumi" "直樹/naoki" "涼/ryo"
         "さくら/sakura" "拓也/takuya" "陽子/yoko"],
        ["青木/aoki" "藤井/fujii" "長谷川/hasegawa" "石田/ishida" "加藤/kato" "松本/matsumoto" "中島/nakajima"
         "小野寺/onodera" "佐々木/sasaki" "高橋/takahashi" "渡辺/watanabe"],
        ["札幌市" "京都市" "Nagoya" "Sendai" "那覇市"]),
    culture!("zh", true,
        ["嘉怡/jiayi" "建国/jianguo" "丽华/lihua" "明/ming" "思远/siyuan" "婷婷/tingting" "晓東/xiaodong"
         "雅雯/yawen" "宇航/yuhang" "子涵/zihan"],
        ["陈/chen" "邓/deng" "黄/huang" "李/li" "欧阳/ouyang" "司徒/szeto" "王/wang" "吴/wu" "谢/xie" "张/zhang"
         "周/zhou"],
        ["成都" "广州" "Taipei" "Singapore" "西安"]),
    culture!("ko", true,
        ["다은/daeun" "현우/hyunwoo" "지민/jimin" "경수/kyungsoo" "민서/minseo" "서연/seoyeon" "수진/sujin"
         "태호/taeho" "유나/yuna"],
        ["최/choi" "한/han" "장/jang" "강/kang" "김/kim" "남궁/namgung" "박/park" "신/shin" "윤/yoon"],
        ["부산" "대구" "Incheon" "전주"]),
    culture!("uk", false,
        ["Богдан/bohdan" "Ганна/hanna" "Дмитро/dmytro" "Євгенія/yevheniia" "Іван/ivan"
         "Лариса/larysa" "Микола/mykola" "Олена/olena" "Соломія/solomiia" "Тарас/taras"
         "Юлія/yuliia"],
        ["Бондаренко/bondarenko" "Гнатюк/hnatiuk" "Довженко/dovzhenko" "Кравчук/kravchuk"
         "Лисенко/lysenko" "Мельник/melnyk" "Петренко/petrenko" "Ткач/tkach" "Шевчук/shevchuk"
         "Яремчук/yaremchuk"],
        ["Львів" "Одеса" "Харків" "Vilnius"]),
    culture!("el", false,
        ["Αθηνά/athina" "Βασίλης/vasilis" "Γιώργος/giorgos" "Δήμητρα/dimitra" "Ελένη/eleni"
         "Θανάσης/thanasis" "Ιωάννα/ioanna" "Κώστας/kostas" "Μαρίνα/marina" "Σταύρος/stavros"],
        ["Αλεξίου/alexiou" "Βλάχος/vlachos" "Γεωργίου/georgiou" "Ζαφείρη/zafeiri"
         "Καραγιάννης/karagiannis" "Μακρή/makri" "Νικολάου/nikolaou" "Παππάς/pappas"
         "Τσάκος/tsakos"],
        ["Θεσσαλονίκη" "Πάτρα" "Limassol" "Ηράκλειο"]),
    culture!("ar", false,
        ["أمينة/amina" "باسم/basim" "جميلة/jamila" "حسن/hassan" "خالد/khalid" "رانيا/rania"
         "سلمى/salma" "طارق/tariq" "ليلى/layla" "يوسف/yusuf"],
        ["البيطار/albitar" "الحداد/alhaddad" "الخوري/alkhouri" "الزهراني/alzahrani"
         "النجار/alnajjar" "بن عمر/benomar" "درويش/darwish" "شاهين/shaheen" "منصور/mansour"],
        ["عمّان" "Tunis" "الإسكندرية" "Muscat"]),
    culture!("hi", false,
        ["अनीता/anita" "भरत/bharat" "दीपिका/deepika" "गौरव/gaurav" "ईशा/isha" "कविता/kavita"
         "मोहन/mohan" "नेहा/neha" "राजेश/rajesh" "सुनीता/sunita" "विक्रम/vikram"],
        ["अग्रवाल/agarwal" "भट्ट/bhatt" "चौहान/chauhan" "देशपांडे/deshpande" "गुप्ता/gupta"
         "जोशी/joshi" "कुलकर्णी/kulkarni" "मेहता/mehta" "नायर/nair" "शर्मा/sharma"],
        ["पुणे" "Jaipur" "लखनऊ" "Leicester"]),
    culture!("he", false,
        ["אביגיל/avigail" "דניאל/daniel" "יעל/yael" "מיכל/michal" "נועם/noam" "עומר/omer"
         "רבקה/rivka" "שירה/shira"],
        ["אזולאי/azoulay" "ביטון/biton" "גולדברג/goldberg" "כהן/cohen" "לוי/levi" "מזרחי/mizrahi"
         "פרץ/peretz"],
        ["חיפה" "Beersheba" "צפת"]),
    culture!("en-IN", false,
        ["Aarav" "Bhavna" "Chitra" "Devika" "Farhan" "Gayatri" "Harpreet" "Imran" "Jaswinder"
         "Lakshmi" "Meenakshi" "Pranav" "Shabnam" "Thangam"],
        ["Banerjee" "Chatterjee" "D'Souza" "Fernandes" "Gill" "Iyer" "Krishnamurthy" "Mukherjee"
         "Pillai" "Qureshi" "Ranganathan" "Sandhu" "Subramaniam" "Venkataraman"],
        ["Chennai" "Kolkata" "Kochi" "Bengaluru" "Nairobi"]),
    culture!("haw", false,
        ["Kaleo" "Keoni" "Leilani" "Mahina" "Nalani" "Pualani" "Kaʻiulani" "Makoa"],
        ["Kahananui" "Kalama" "Kealoha" "Mahoe" "Nāone" "Kaʻaihue" "Puʻuwai"],
        ["Hilo" "Kāneʻohe" "Līhuʻe"]),
];
